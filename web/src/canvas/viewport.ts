/** What part of a plane is on screen: a point of the plane at x is on screen at x * scale + dx. */
export interface Viewport {
  scale: number;
  dx: number;
  dy: number;
}

export interface Box {
  x: number;
  y: number;
  w: number;
  h: number;
}

export interface Size {
  width: number;
  height: number;
}

export const MIN_SCALE = 0.02;
export const MAX_SCALE = 4;

export function clampScale(scale: number): number {
  return Math.min(MAX_SCALE, Math.max(MIN_SCALE, scale));
}

/** The viewport that shows all of the box, with a margin; small boxes are not blown up. */
export function fit(box: Box, screen: Size, margin = 24, most = 1.25): Viewport {
  const width = Math.max(1, screen.width - 2 * margin);
  const height = Math.max(1, screen.height - 2 * margin);
  const scale = clampScale(Math.min(width / Math.max(1, box.w), height / Math.max(1, box.h), most));
  return {
    scale,
    dx: screen.width / 2 - (box.x + box.w / 2) * scale,
    dy: screen.height / 2 - (box.y + box.h / 2) * scale,
  };
}

/** Zooms by a factor; the point on screen stays where it is. */
export function zoomAt(view: Viewport, factor: number, x: number, y: number): Viewport {
  const scale = clampScale(view.scale * factor);
  const by = scale / view.scale;
  return { scale, dx: x - (x - view.dx) * by, dy: y - (y - view.dy) * by };
}

export function pan(view: Viewport, dx: number, dy: number): Viewport {
  return { scale: view.scale, dx: view.dx + dx, dy: view.dy + dy };
}

/** The viewport that has the point of the plane in the middle of the screen. */
export function centre(view: Viewport, screen: Size, x: number, y: number, scale = view.scale): Viewport {
  return { scale, dx: screen.width / 2 - x * scale, dy: screen.height / 2 - y * scale };
}

/** Moves as little as it takes to have all of the box on screen. */
export function reveal(view: Viewport, screen: Size, box: Box, margin = 32): Viewport {
  const left = box.x * view.scale + view.dx;
  const top = box.y * view.scale + view.dy;
  const right = left + box.w * view.scale;
  const bottom = top + box.h * view.scale;
  let { dx, dy } = view;
  if (right > screen.width - margin) dx += screen.width - margin - right;
  if (left + (dx - view.dx) < margin) dx += margin - (left + (dx - view.dx));
  if (bottom > screen.height - margin) dy += screen.height - margin - bottom;
  if (top + (dy - view.dy) < margin) dy += margin - (top + (dy - view.dy));
  return { scale: view.scale, dx, dy };
}

/** Keeps a part of the world on screen, so that nobody gets lost in an empty plane. */
export function hold(view: Viewport, screen: Size, world: Box, rest = 80): Viewport {
  const clamp = (at: number, from: number, to: number) => Math.min(to, Math.max(from, at));
  return {
    scale: view.scale,
    dx: clamp(view.dx, rest - (world.x + world.w) * view.scale, screen.width - rest - world.x * view.scale),
    dy: clamp(view.dy, rest - (world.y + world.h) * view.scale, screen.height - rest - world.y * view.scale),
  };
}

export function toWorld(view: Viewport, x: number, y: number): { x: number; y: number } {
  return { x: (x - view.dx) / view.scale, y: (y - view.dy) / view.scale };
}

/** The part of the plane that is on screen. */
export function visible(view: Viewport, screen: Size): Box {
  const { x, y } = toWorld(view, 0, 0);
  return { x, y, w: screen.width / view.scale, h: screen.height / view.scale };
}

export function overlaps(a: Box, b: Box): boolean {
  return a.x <= b.x + b.w && b.x <= a.x + a.w && a.y <= b.y + b.h && b.y <= a.y + a.h;
}
