import type { Box } from '../canvas/viewport';

/** A cubic curve from one node to another. Both ends are horizontal, so that arrowheads are. */
export interface Curve {
  x0: number;
  y0: number;
  x1: number;
  y1: number;
  x2: number;
  y2: number;
  x3: number;
  y3: number;
}

/** Points on a curve that stand for it when something is near it. */
export const SAMPLES = 13;

/** Edges in opposite directions leave and arrive this far above or below the middle of a node. */
const LANE = 4;

/** The curve of an edge. */
export function route(from: Box, to: Box): Curve {
  const right = to.x - (from.x + from.w);
  const left = from.x - (to.x + to.w);
  const fromMiddle = from.y + from.h / 2;
  const toMiddle = to.y + to.h / 2;
  if (right >= left && right > 6) {
    const pull = Math.min(160, Math.max(18, right * 0.45));
    const x0 = from.x + from.w;
    const x3 = to.x;
    const y0 = fromMiddle - LANE;
    const y3 = toMiddle - LANE;
    const bow = -bowed(right, y3 - y0);
    return { x0, y0, x1: x0 + pull, y1: y0 + bow, x2: x3 - pull, y2: y3 + bow, x3, y3 };
  }
  if (left > right && left > 6) {
    const pull = Math.min(160, Math.max(18, left * 0.45));
    const x0 = from.x;
    const x3 = to.x + to.w;
    const y0 = fromMiddle + LANE;
    const y3 = toMiddle + LANE;
    const bow = bowed(left, y3 - y0);
    return { x0, y0, x1: x0 - pull, y1: y0 + bow, x2: x3 + pull, y2: y3 + bow, x3, y3 };
  }
  // One above the other: out and back on one side, downwards on the right and upwards on the left.
  const down = toMiddle >= fromMiddle;
  const bulge = Math.min(90, 22 + Math.abs(toMiddle - fromMiddle) * 0.18);
  const x0 = down ? from.x + from.w : from.x;
  const x3 = down ? to.x + to.w : to.x;
  const out = down ? Math.max(x0, x3) + bulge : Math.min(x0, x3) - bulge;
  const y0 = fromMiddle + (down ? LANE : -LANE);
  const y3 = toMiddle + (down ? -LANE : LANE);
  return { x0, y0, x1: out, y1: y0, x2: out, y2: y3, x3, y3 };
}

/** How far a long level edge swerves, so that it doesn't hide behind the nodes between its ends. */
function bowed(gap: number, rise: number): number {
  return gap > 205 && Math.abs(rise) < 16 ? Math.min(64, 30 + gap * 0.04) : 0;
}

/** The point of a curve at t, from 0 to 1. */
export function pointAt(curve: Curve, t: number): { x: number; y: number } {
  const s = 1 - t;
  const a = s * s * s;
  const b = 3 * s * s * t;
  const c = 3 * s * t * t;
  const d = t * t * t;
  return {
    x: a * curve.x0 + b * curve.x1 + c * curve.x2 + d * curve.x3,
    y: a * curve.y0 + b * curve.y1 + c * curve.y2 + d * curve.y3,
  };
}

/** Its points: x and y in turn. */
export function sample(curve: Curve, into: Float32Array, offset: number): void {
  for (let at = 0; at < SAMPLES; at += 1) {
    const { x, y } = pointAt(curve, at / (SAMPLES - 1));
    into[offset + 2 * at] = x;
    into[offset + 2 * at + 1] = y;
  }
}

/** The box that holds all points of a curve. */
export function bounds(curve: Curve): Box {
  const x = Math.min(curve.x0, curve.x1, curve.x2, curve.x3);
  const y = Math.min(curve.y0, curve.y1, curve.y2, curve.y3);
  return {
    x,
    y,
    w: Math.max(curve.x0, curve.x1, curve.x2, curve.x3) - x,
    h: Math.max(curve.y0, curve.y1, curve.y2, curve.y3) - y,
  };
}

/** The distance of a point from a stretch between two others. */
export function distance(x: number, y: number, ax: number, ay: number, bx: number, by: number): number {
  const dx = bx - ax;
  const dy = by - ay;
  const length = dx * dx + dy * dy;
  const t = length === 0 ? 0 : Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / length));
  return Math.hypot(x - ax - t * dx, y - ay - t * dy);
}
