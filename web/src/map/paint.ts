import type { Palette } from '../canvas/palette';
import { fitted } from '../canvas/surface';
import { overlaps, visible, type Box, type Size, type Viewport } from '../canvas/viewport';
import { bounds, pointAt, type Curve } from './geometry';
import { DRAWN, LAYERS, isPressing, type Layer } from './layers';
import { isSubject, type Lit, type Looks, type Scene } from './scene';

/** Below this scale nodes are too small for their names. */
const NAMES_FROM = 0.42;
/** Below this, arrowheads are specks. */
const HEADS_FROM = 0.3;
/** From afar no more can be told apart than so many lines, the thickest, and those that need somebody's eye. */
const MOST_BUNDLES = 250;
/** Below this, a namespace is known by its name alone, in large letters. */
const FAR = 0.4;

interface Stroke {
  dash: readonly number[];
  width: number;
  alpha: number;
}

/** Layers differ by dash too, never by colour alone. */
const STROKES: Record<Layer, Stroke> = {
  allowed: { dash: [], width: 1, alpha: 0.55 },
  seen: { dash: [], width: 1.8, alpha: 0.9 },
  unused: { dash: [1.5, 4], width: 1.4, alpha: 0.9 },
  unprotected: { dash: [8, 3, 2, 3], width: 1.2, alpha: 0.8 },
  staged: { dash: [6, 4], width: 2, alpha: 1 },
  denied: { dash: [4, 3], width: 2, alpha: 1 },
};

/** What to draw. */
export interface Picture {
  scene: Scene;
  looks: Looks;
  view: Viewport;
  screen: Size;
  palette: Palette;
  font: string;
}

/** The map as it is when nothing is lit up. */
export function paint(context: CanvasRenderingContext2D, picture: Picture): void {
  const { scene, looks, view, screen } = picture;
  const seen = visible(view, screen);
  context.save();
  context.translate(view.dx, view.dy);
  context.scale(view.scale, view.scale);
  paintGroups(context, picture, seen);
  const drawn: number[] = [];
  if (!isFar(picture)) {
    scene.curves.forEach((curve, index) => {
      if (looks.plain[index] && overlaps(bounds(curve), seen)) drawn.push(index);
    });
  }
  if (isFar(picture)) paintBundles(context, picture, seen);
  else paintEdges(context, picture, drawn);
  scene.boxes.forEach((box, index) => {
    if (overlaps(box, seen)) paintNode(context, picture, index, false);
  });
  context.restore();
  paintGroupNames(context, picture, seen);
}

/** What is lit up, above a veil over everything else. */
export function paintLit(
  context: CanvasRenderingContext2D,
  picture: Picture,
  lit: Lit,
  strong: { nodes: ReadonlySet<number>; edges: ReadonlySet<number> },
): void {
  const { scene, view, screen, palette } = picture;
  const seen = visible(view, screen);
  context.globalAlpha = 0.72;
  context.fillStyle = palette.ground;
  context.fillRect(0, 0, screen.width, screen.height);
  context.globalAlpha = 1;
  context.save();
  context.translate(view.dx, view.dy);
  context.scale(view.scale, view.scale);
  const edges = [...lit.edges].filter((index) => {
    const curve = scene.curves[index];
    return curve !== undefined && overlaps(bounds(curve), seen);
  });
  paintEdges(context, picture, edges, strong.edges);
  for (const index of lit.nodes) {
    const box = scene.boxes[index];
    if (box !== undefined && overlaps(box, seen)) paintNode(context, picture, index, strong.nodes.has(index));
  }
  context.restore();
}

/** From afar, namespaces and what is between them is all that one can tell apart. */
export function isFar({ scene, view }: { scene: Pick<Scene, 'map'>; view: Viewport }): boolean {
  return view.scale < FAR && scene.map.groups.length > 1;
}

/** Edges between namespaces, the thicker the more they are. */
function paintBundles(context: CanvasRenderingContext2D, picture: Picture, seen: Box): void {
  const { looks, palette, view } = picture;
  const shown = looks.bundles.filter(
    (bundle, rank) =>
      (rank < MOST_BUNDLES || isPressing(bundle.layer)) && overlaps(bounds(bundle.curve), seen),
  );
  const crowd = shown.length > 300 ? 0.45 : shown.length > 80 ? 0.65 : 0.9;
  for (const layer of LAYERS.toReversed()) {
    context.strokeStyle = palette.layer[layer];
    context.fillStyle = palette.layer[layer];
    context.globalAlpha = isPressing(layer) ? Math.max(0.8, crowd) : crowd;
    for (const { curve, count, layer: own } of shown) {
      if (own !== layer) continue;
      const width = (0.8 + Math.log2(count + 1) * 0.6) / view.scale;
      context.lineWidth = width;
      context.setLineDash(STROKES[layer].dash.map((length) => length / view.scale));
      context.beginPath();
      trace(context, curve);
      context.stroke();
      context.setLineDash([]);
      context.beginPath();
      head(context, curve, 5 / view.scale + width);
      context.fill();
    }
  }
  context.globalAlpha = 1;
}

function paintGroups(context: CanvasRenderingContext2D, picture: Picture, seen: Box): void {
  const { scene, palette, view } = picture;
  for (const group of scene.map.groups) {
    if (!overlaps(group, seen)) continue;
    context.beginPath();
    context.roundRect(group.x, group.y, group.w, group.h, 8);
    context.fillStyle = palette.box;
    context.fill();
    context.lineWidth = 1 / view.scale;
    context.strokeStyle = palette.line;
    // What is outside of the cluster has no namespace; its box is open.
    context.setLineDash(group.name === '' ? [5 / view.scale, 4 / view.scale] : []);
    context.stroke();
    context.setLineDash([]);
  }
}

/** Names of namespaces keep their size on screen, so that they can be read from afar. */
function paintGroupNames(context: CanvasRenderingContext2D, picture: Picture, seen: Box): void {
  const { scene, palette, view, font } = picture;
  const far = view.scale < FAR;
  for (const [index, group] of scene.map.groups.entries()) {
    if (!overlaps(group, seen)) continue;
    const left = group.x * view.scale + view.dx;
    const top = group.y * view.scale + view.dy;
    const width = group.w * view.scale;
    const height = group.h * view.scale;
    const size = far ? Math.min(17, Math.max(9, height * 0.3)) : Math.min(14, Math.max(11, 13 * view.scale));
    if (width < 28 || height < 9) continue;
    context.font = `600 ${size}px ${font}`;
    const text = fitted(context, group.name === '' ? 'outside' : group.name, width - 12);
    if (text === '') continue;
    if (far) {
      const wide = context.measureText(text).width;
      context.textAlign = 'center';
      context.textBaseline = 'middle';
      context.fillStyle = palette.box;
      context.globalAlpha = 0.82;
      context.beginPath();
      context.roundRect(
        left + (width - wide) / 2 - 5,
        top + height / 2 - size * 0.72,
        wide + 10,
        size * 1.44,
        4,
      );
      context.fill();
      context.globalAlpha = 1;
      context.fillStyle = palette.text;
      context.fillText(text, left + width / 2, top + height / 2 + 0.5);
      const folded = picture.looks.foldedIn[index] ?? 0;
      if (folded > 0 && height > 40) {
        context.font = `700 10px ${font}`;
        context.fillStyle = palette.layer.denied;
        context.fillText(`✕ ${folded}`, left + width / 2, top + height / 2 + size * 1.1 + 4);
      }
    } else {
      context.textAlign = 'left';
      context.textBaseline = 'middle';
      context.fillStyle = palette.soft;
      context.fillText(text, left + 8, top + Math.min(15, Math.max(9, 12 * view.scale)));
    }
  }
}

function paintEdges(
  context: CanvasRenderingContext2D,
  picture: Picture,
  edges: readonly number[],
  strong: ReadonlySet<number> = new Set(),
): void {
  const { scene, looks, palette, view } = picture;
  // Thin lines stay visible from afar, and don't grow fat when one comes near.
  const unit = 1 / Math.max(view.scale, 0.05);
  const thick = Math.min(unit, 2.5) * Math.min(1.25, Math.max(0.55, view.scale));
  const isFaint = (index: number) =>
    scene.map.edges[index]?.crowded === true && looks.look[index] === 'denied' && !strong.has(index);
  paintFaint(context, picture, edges.filter(isFaint), thick);
  for (const layer of DRAWN) {
    const own = edges.filter((index) => looks.look[index] === layer && !isFaint(index));
    if (own.length === 0) continue;
    const stroke = STROKES[layer];
    context.strokeStyle = palette.layer[layer];
    context.fillStyle = palette.layer[layer];
    // A crowd fades, but for what needs somebody's eye.
    const crowd =
      edges.length < 60 || strong.size > 0 ? 1 : edges.length < 400 ? stroke.alpha : stroke.alpha * 0.5;
    context.globalAlpha = isPressing(layer) ? Math.max(crowd, 0.9) : crowd;
    for (const emphasised of [false, true]) {
      const some = own.filter((index) => strong.has(index) === emphasised);
      if (some.length === 0) continue;
      const width = stroke.width * thick * (emphasised ? 2.2 : 1);
      context.lineWidth = width;
      context.setLineDash(stroke.dash.map((length) => length * Math.max(thick, 0.8)));
      context.beginPath();
      for (const index of some) trace(context, scene.curves[index]!);
      context.stroke();
      context.setLineDash([]);
      if (view.scale < HEADS_FROM) continue;
      context.beginPath();
      for (const index of some) head(context, scene.curves[index]!, 5 + width * 1.4);
      context.fill();
      for (const index of some) {
        if (isPressing(layer)) sign(context, picture, scene.curves[index]!, layer);
        else if (looks.marked[index]) sign(context, picture, scene.curves[index]!, 'denied');
      }
    }
  }
  context.globalAlpha = 1;
}

/** Denied edges that are too many to each deserve a look: below all others, and without signs. */
function paintFaint(
  context: CanvasRenderingContext2D,
  picture: Picture,
  edges: readonly number[],
  thick: number,
): void {
  const { scene, palette, view } = picture;
  if (edges.length === 0) return;
  context.globalAlpha = edges.length > 60 ? 0.22 : 0.42;
  context.strokeStyle = palette.layer.denied;
  context.fillStyle = palette.layer.denied;
  context.lineWidth = 1.1 * thick;
  context.setLineDash(STROKES.denied.dash.map((length) => length * Math.max(thick, 0.8)));
  context.beginPath();
  for (const index of edges) trace(context, scene.curves[index]!);
  context.stroke();
  context.setLineDash([]);
  if (view.scale >= HEADS_FROM) {
    context.beginPath();
    for (const index of edges) head(context, scene.curves[index]!, 5);
    context.fill();
  }
  context.globalAlpha = 1;
}

function trace(context: CanvasRenderingContext2D, curve: Curve): void {
  context.moveTo(curve.x0, curve.y0);
  context.bezierCurveTo(curve.x1, curve.y1, curve.x2, curve.y2, curve.x3, curve.y3);
}

/** Curves arrive horizontally. */
function head(context: CanvasRenderingContext2D, curve: Curve, length: number): void {
  const way = curve.x3 >= curve.x2 ? 1 : -1;
  context.moveTo(curve.x3, curve.y3);
  context.lineTo(curve.x3 - way * length, curve.y3 - length * 0.45);
  context.lineTo(curve.x3 - way * length, curve.y3 + length * 0.45);
  context.closePath();
}

/** A cross or a diamond on the middle of an edge. */
function sign(context: CanvasRenderingContext2D, picture: Picture, curve: Curve, layer: Layer): void {
  const { palette } = picture;
  const [stroke, fill] = [context.strokeStyle, context.fillStyle];
  context.strokeStyle = palette.layer[layer];
  const { x, y } = pointAt(curve, 0.5);
  const r = 5.5;
  context.beginPath();
  if (layer === 'denied') context.arc(x, y, r, 0, 2 * Math.PI);
  else {
    context.moveTo(x, y - r - 1);
    context.lineTo(x + r + 1, y);
    context.lineTo(x, y + r + 1);
    context.lineTo(x - r - 1, y);
    context.closePath();
  }
  context.fillStyle = palette.ground;
  context.fill();
  context.lineWidth = 1.5;
  context.stroke();
  if (layer === 'denied') {
    context.beginPath();
    context.moveTo(x - 2.4, y - 2.4);
    context.lineTo(x + 2.4, y + 2.4);
    context.moveTo(x + 2.4, y - 2.4);
    context.lineTo(x - 2.4, y + 2.4);
    context.stroke();
  }
  context.strokeStyle = stroke;
  context.fillStyle = fill;
}

function paintNode(
  context: CanvasRenderingContext2D,
  picture: Picture,
  index: number,
  strong: boolean,
): void {
  const { scene, palette, view, font } = picture;
  const node = scene.map.nodes[index]!;
  const box = scene.boxes[index]!;
  const radius = node.hub === undefined ? 4 : box.h / 2;
  context.beginPath();
  context.roundRect(box.x, box.y, box.w, box.h, radius);
  context.fillStyle = node.hub === undefined ? palette.node : palette.hub;
  context.fill();
  context.lineWidth = strong ? Math.max(2, 2.5 / view.scale) : Math.max(0.75, 1 / Math.max(1, view.scale));
  context.strokeStyle = strong ? palette.focus : palette.edge;
  context.stroke();
  if (view.scale < NAMES_FROM) return;
  // Bars at the sides: who may come in is decided on the left, where it may go on the right.
  if (isSubject(node) && node.hub === undefined) {
    side(context, picture, box.x + 2.5, box, node.ingress);
    side(context, picture, box.x + box.w - 4.5, box, node.egress);
  }
  context.textBaseline = 'middle';
  const middle = box.y + box.h / 2 + 0.5;
  let room = box.w - 16;
  if (node.pods > 1) {
    context.font = `10px ${font}`;
    context.textAlign = 'right';
    context.fillStyle = palette.soft;
    const text = `×${node.pods}`;
    context.fillText(text, box.x + box.w - 8, middle);
    room -= context.measureText(text).width + 4;
  }
  if (node.hub !== undefined) {
    const folded = (scene.edgesOf[index] ?? []).filter((edge) => scene.map.edges[edge]?.folded).length;
    if (folded > 0) {
      context.font = `600 10px ${font}`;
      context.textAlign = 'right';
      context.fillStyle = palette.soft;
      const text = `⇄ ${folded}`;
      context.fillText(text, box.x + box.w - 10, middle);
      room -= context.measureText(text).width + 6;
    }
  }
  if (node.findings > 0) {
    context.font = `700 10px ${font}`;
    context.textAlign = 'left';
    context.fillStyle = palette.warn;
    context.fillText('▲', box.x + 8, middle);
    room -= 12;
  }
  context.font = `${strong ? 600 : 500} 12px ${font}`;
  context.textAlign = 'left';
  context.fillStyle = palette.text;
  context.fillText(fitted(context, node.name, room), box.x + 8 + (node.findings > 0 ? 12 : 0), middle);
  paintBadges(context, picture, index, box);
  paintFolded(context, picture, index, box);
}

/** How many denied edges are folded at a node: on its lower edge, on the left. */
function paintFolded(context: CanvasRenderingContext2D, picture: Picture, index: number, box: Box): void {
  const number = picture.looks.foldedAt[index] ?? 0;
  if (number === 0) return;
  const { palette, font } = picture;
  context.font = `700 8px ${font}`;
  context.textAlign = 'left';
  context.textBaseline = 'middle';
  const text = `✕ ${number}`;
  const width = context.measureText(text).width + 8;
  const x = box.x + 6;
  const y = box.y + box.h;
  context.beginPath();
  context.roundRect(x, y - 5.5, width, 11, 5.5);
  context.fillStyle = palette.node;
  context.fill();
  context.lineWidth = 1;
  context.strokeStyle = palette.layer.denied;
  context.stroke();
  context.fillStyle = palette.layer.denied;
  context.fillText(text, x + 4, y + 0.5);
}

function side(
  context: CanvasRenderingContext2D,
  picture: Picture,
  x: number,
  box: Box,
  closed: boolean,
): void {
  const { palette } = picture;
  if (closed) {
    context.fillStyle = palette.layer.seen;
    context.fillRect(x, box.y + 4, 2, box.h - 8);
    return;
  }
  // Open: dots, so that it isn't a matter of colour.
  context.fillStyle = palette.layer.unprotected;
  for (let y = box.y + 5; y < box.y + box.h - 5; y += 4) context.fillRect(x, y, 2, 2);
}

/** Small discs below a node for hubs whose edges are folded. */
function paintBadges(context: CanvasRenderingContext2D, picture: Picture, index: number, box: Box): void {
  const badges = picture.scene.badges[index] ?? [];
  const node = picture.scene.map.nodes[index]!;
  if (badges.length === 0 || node.hub !== undefined || picture.view.scale < 0.6) return;
  const { palette, font } = picture;
  context.font = `700 7px ${font}`;
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  badges.slice(0, 4).forEach((badge, place) => {
    const x = box.x + box.w - 9 - place * 11;
    const y = box.y + box.h;
    context.beginPath();
    context.arc(x, y, 4.5, 0, 2 * Math.PI);
    context.fillStyle = palette.hub;
    context.fill();
    context.lineWidth = 0.75;
    context.strokeStyle = palette.edge;
    context.stroke();
    context.fillStyle = palette.text;
    context.fillText(badge.sign, x, y + 0.5);
  });
}
