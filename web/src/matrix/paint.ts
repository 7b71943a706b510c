import type { Palette } from '../canvas/palette';
import { fitted } from '../canvas/surface';
import { BAND, CELL, bands, isRoomy, shown, type Frame, type Shown } from './layout';
import { bare } from './ports';
import { GLANCES, type ChangeKind, type Glance, type Item, type Model, type VerdictFilter } from './model';

export interface Place {
  line: number;
  column: number;
}

export interface Picture {
  model: Model;
  lines: readonly Item[];
  columns: readonly Item[];
  frame: Frame;
  palette: Palette;
  font: string;
  hover: Place | undefined;
  cursor: Place | undefined;
  /** Where the drawer is about. */
  selected: Place | undefined;
  wanted: VerdictFilter | undefined;
  comparing: boolean;
}

const CHANGE_SIGNS: Record<ChangeKind, string> = { opened: '+', closed: '−', changed: '~' };

export function paint(context: CanvasRenderingContext2D, picture: Picture): void {
  const { frame, lines, columns } = picture;
  const seenLines = shown(frame.scrollY, frame.height - frame.top, lines.length, CELL);
  const seenColumns = shown(frame.scrollX, frame.width - frame.left, columns.length, frame.column);
  context.textBaseline = 'middle';
  context.save();
  context.beginPath();
  context.rect(frame.left, frame.top, frame.width - frame.left, frame.height - frame.top);
  context.clip();
  paintCells(context, picture, seenLines, seenColumns);
  paintGrid(context, picture, seenLines, seenColumns);
  paintRings(context, picture);
  context.restore();
  paintLineNames(context, picture, seenLines);
  paintColumnNames(context, picture, seenColumns);
  paintCorner(context, picture);
}

function xOf(frame: Frame, column: number): number {
  return frame.left + column * frame.column - frame.scrollX;
}

function yOf(frame: Frame, line: number): number {
  return frame.top + line * CELL - frame.scrollY;
}

function paintCells(context: CanvasRenderingContext2D, picture: Picture, across: Shown, along: Shown): void {
  const { model, lines, columns, frame, palette, font, wanted, comparing } = picture;
  const width = frame.column;
  const roomy = isRoomy(frame);
  context.textAlign = 'center';
  for (let line = across.first; line < across.end; line += 1) {
    const y = yOf(frame, line);
    const from = lines[line]!;
    for (let column = along.first; column < along.end; column += 1) {
      const x = xOf(frame, column);
      const to = columns[column]!;
      const glance = model.glanceAt(from, to);
      const change = comparing ? model.changeAt(from, to) : undefined;
      const faded =
        (comparing && change === undefined) || (wanted !== undefined && !model.fitsAt(from, to, wanted));
      context.globalAlpha = faded ? 0.3 : 1;
      const { fill, ink } = colours(palette, glance, model.port !== undefined);
      context.fillStyle = fill;
      context.fillRect(x, y, width, CELL);
      if (glance === 'mixed') {
        // As full as it is open.
        const height = Math.max(2, Math.round(CELL * model.shareAt(from, to)));
        context.fillStyle = palette.verdict.allowed.ink;
        context.globalAlpha = faded ? 0.15 : 0.5;
        context.fillRect(x, y + CELL - height, width, height);
        context.globalAlpha = faded ? 0.3 : 1;
      }
      context.fillStyle = ink;
      const ports = roomy && glance === 'partly' ? model.portsAt(from, to) : '';
      if (change !== undefined) {
        // Its sign is drawn below.
      } else if (ports !== '') {
        context.font = `11px ${font}`;
        const texts = [ports, bare(ports), GLANCES[glance].sign];
        const text = texts.find((it) => fits(context, it, width - 8)) ?? '';
        context.fillText(text, x + width / 2, y + CELL / 2 + 1);
      } else {
        context.font = `${glance === 'denied' || glance === 'mixed' ? 10 : 13}px ${font}`;
        context.fillText(GLANCES[glance].sign, x + width / 2, y + CELL / 2 + 1);
      }
      context.globalAlpha = 1;
      if (change !== undefined) paintChange(context, picture, change, x, y);
      if ('party' in from && 'party' in to) paintEvidence(context, picture, from.party, to.party, x, y);
      if (model.disagreesAt(from, to)) paintDisagreement(context, picture, x, y);
    }
  }
}

/** Closed is calm, open is not: a table that is mostly closed should look so. */
function colours(palette: Palette, glance: Glance, port: boolean): { fill: string; ink: string } {
  const { allowed, denied } = palette.verdict;
  switch (glance) {
    case 'allowed':
      return port ? { fill: allowed.fill, ink: allowed.ink } : { fill: allowed.ink, ink: palette.node };
    case 'partly':
      return { fill: allowed.fill, ink: allowed.ink };
    case 'denied':
      return { fill: palette.node, ink: denied.ink };
    case 'mixed':
      return { fill: palette.sunken, ink: palette.text };
    case 'never':
      return { fill: palette.sunken, ink: palette.soft };
  }
}

function paintChange(
  context: CanvasRenderingContext2D,
  picture: Picture,
  change: ChangeKind,
  x: number,
  y: number,
): void {
  const { frame, palette, font } = picture;
  const ink = change === 'opened' ? palette.warn : change === 'closed' ? palette.layer.staged : palette.focus;
  context.fillStyle = palette.node;
  const width = frame.column;
  context.fillRect(x + 1, y + 1, width - 2, CELL - 2);
  context.strokeStyle = ink;
  context.lineWidth = 2;
  context.strokeRect(x + 2.5, y + 2.5, width - 5, CELL - 5);
  context.fillStyle = ink;
  context.font = `700 15px ${font}`;
  context.fillText(CHANGE_SIGNS[change], x + width / 2, y + CELL / 2 + 1);
}

/** A dot at the foot of a cell: connections were seen; a square: some were denied. */
function paintEvidence(
  context: CanvasRenderingContext2D,
  picture: Picture,
  from: number,
  to: number,
  x: number,
  y: number,
): void {
  const evidence = picture.model.evidenceOf(from, to);
  if (evidence === undefined) return;
  const { frame, palette, model } = picture;
  const right = x + frame.column;
  if (evidence.denied > 0) {
    context.fillStyle = palette.layer.denied;
    context.fillRect(right - 8, y + CELL - 8, 5, 5);
  } else if (evidence.allowed > 0) {
    const onDark = model.port === undefined && model.glance(from, to) === 'allowed';
    context.fillStyle = onDark ? palette.node : palette.layer.seen;
    context.beginPath();
    context.arc(right - 5.5, y + CELL - 5.5, 2.5, 0, 2 * Math.PI);
    context.fill();
  }
}

function paintDisagreement(context: CanvasRenderingContext2D, picture: Picture, x: number, y: number): void {
  const { frame, palette, font } = picture;
  context.fillStyle = palette.warn;
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(x + 15, y);
  context.lineTo(x, y + 15);
  context.fill();
  context.fillStyle = palette.node;
  context.font = `700 9px ${font}`;
  context.fillText('!', x + 4.5, y + 5.5);
  context.strokeStyle = palette.warn;
  context.lineWidth = 2;
  context.strokeRect(x + 1, y + 1, frame.column - 2, CELL - 2);
}

function paintGrid(context: CanvasRenderingContext2D, picture: Picture, across: Shown, along: Shown): void {
  const { lines, columns, frame, palette } = picture;
  const right = Math.min(frame.width, xOf(frame, along.end));
  const bottom = Math.min(frame.height, yOf(frame, across.end));
  for (const strong of [false, true]) {
    context.strokeStyle = strong ? palette.edge : palette.line;
    context.lineWidth = 1;
    context.beginPath();
    for (let line = across.first; line <= across.end; line += 1) {
      if (border(lines, line) !== strong) continue;
      context.moveTo(frame.left, yOf(frame, line) + 0.5);
      context.lineTo(right, yOf(frame, line) + 0.5);
    }
    for (let column = along.first; column <= along.end; column += 1) {
      if (border(columns, column) !== strong) continue;
      context.moveTo(xOf(frame, column) + 0.5, frame.top);
      context.lineTo(xOf(frame, column) + 0.5, bottom);
    }
    context.stroke();
  }
}

/** Whether a namespace begins here. */
function border(items: readonly Item[], at: number): boolean {
  return at === 0 || at === items.length || items[at - 1]?.group !== items[at]?.group;
}

function paintRings(context: CanvasRenderingContext2D, picture: Picture): void {
  const { lines, columns, frame, palette, hover, cursor, selected } = picture;
  if (hover !== undefined) {
    context.globalAlpha = 0.12;
    context.fillStyle = palette.focus;
    context.fillRect(frame.left, yOf(frame, hover.line), xOf(frame, columns.length) - frame.left, CELL);
    context.fillRect(xOf(frame, hover.column), frame.top, frame.column, yOf(frame, lines.length) - frame.top);
    context.globalAlpha = 1;
  }
  for (const [place, width] of [
    [hover, 1.5],
    [selected, 3],
    [cursor, 3],
  ] as const) {
    if (place === undefined) continue;
    context.strokeStyle = palette.focus;
    context.lineWidth = width;
    context.strokeRect(xOf(frame, place.column), yOf(frame, place.line), frame.column + 1, CELL + 1);
  }
}

function paintLineNames(context: CanvasRenderingContext2D, picture: Picture, across: Shown): void {
  const { model, lines, frame, palette, font, hover, cursor } = picture;
  context.save();
  context.beginPath();
  context.rect(0, frame.top, frame.left, frame.height - frame.top);
  context.clip();
  context.fillStyle = palette.ground;
  context.fillRect(0, frame.top, frame.left, frame.height);
  /** Namespaces whose band has no room for their name: it goes with the names of their workloads. */
  const cramped = new Set<number>();
  for (const band of bands(lines)) {
    if (band.end <= across.first || band.first >= across.end) continue;
    const top = Math.max(frame.top, yOf(frame, band.first));
    const bottom = Math.min(frame.height, yOf(frame, band.end));
    context.fillStyle = palette.sunken;
    context.fillRect(0, top, BAND, bottom - top);
    const group = model.groups[band.group];
    if (group !== undefined && !band.fold) {
      context.save();
      context.translate(BAND / 2, (top + bottom) / 2);
      context.rotate(-Math.PI / 2);
      context.textAlign = 'center';
      context.font = `600 11px ${font}`;
      context.fillStyle = palette.soft;
      if (!fits(context, group.title, (band.end - band.first) * CELL - 8)) cramped.add(band.group);
      else context.fillText(fitted(context, group.title, bottom - top - 8), 0, 0.5);
      context.restore();
    }
    line(context, palette.edge, 0, yOf(frame, band.first), frame.left, yOf(frame, band.first));
  }
  for (let index = across.first; index < across.end; index += 1) {
    const item = lines[index]!;
    const strong = hover?.line === index || cursor?.line === index;
    const y = yOf(frame, index) + CELL / 2 + 0.5;
    if (strong) {
      context.fillStyle = palette.focusSoft;
      context.fillRect(BAND, yOf(frame, index), frame.left - BAND, CELL);
    }
    const text = name(context, picture, item, strong, frame.left - BAND - 12, cramped);
    context.textAlign = 'right';
    context.fillText(text, frame.left - 6, y);
    if ('fold' in item) {
      context.textAlign = 'center';
      context.font = `11px ${font}`;
      context.fillStyle = palette.soft;
      context.fillText('▸', BAND / 2, y);
    }
  }
  context.restore();
}

function paintColumnNames(context: CanvasRenderingContext2D, picture: Picture, along: Shown): void {
  const { model, columns, frame, palette, font, hover, cursor } = picture;
  context.save();
  context.beginPath();
  context.rect(frame.left, 0, frame.width - frame.left, frame.top);
  context.clip();
  context.fillStyle = palette.ground;
  context.fillRect(frame.left, 0, frame.width, frame.top);
  const cramped = new Set<number>();
  for (const band of bands(columns)) {
    if (band.end <= along.first || band.first >= along.end) continue;
    const left = Math.max(frame.left, xOf(frame, band.first));
    const right = Math.min(frame.width, xOf(frame, band.end));
    context.fillStyle = palette.sunken;
    context.fillRect(left, 0, right - left, BAND);
    const group = model.groups[band.group];
    context.textAlign = 'center';
    context.font = `600 11px ${font}`;
    context.fillStyle = palette.soft;
    if (band.fold) context.fillText('▸', (left + right) / 2, BAND / 2 + 0.5);
    else if (group !== undefined) {
      if (!fits(context, group.title, (band.end - band.first) * frame.column - 8)) cramped.add(band.group);
      else
        context.fillText(fitted(context, group.title, right - left - 8), (left + right) / 2, BAND / 2 + 0.5);
    }
    line(context, palette.edge, xOf(frame, band.first), 0, xOf(frame, band.first), frame.top);
  }
  for (let index = along.first; index < along.end; index += 1) {
    const item = columns[index]!;
    const strong = hover?.column === index || cursor?.column === index;
    if (strong) {
      context.fillStyle = palette.focusSoft;
      context.fillRect(xOf(frame, index), BAND, frame.column, frame.top - BAND);
    }
    context.save();
    context.translate(xOf(frame, index) + frame.column / 2 + 0.5, frame.top - 6);
    context.rotate(-Math.PI / 2);
    const text = name(context, picture, item, strong, frame.top - BAND - 12, cramped);
    context.textAlign = 'left';
    context.fillText(text, 0, 0.5);
    context.restore();
  }
  context.restore();
}

function fits(context: CanvasRenderingContext2D, text: string, room: number): boolean {
  return context.measureText(text).width <= room;
}

/** Sets the font and the colour of an item's name; returns as much of it as there is room for. */
function name(
  context: CanvasRenderingContext2D,
  picture: Picture,
  item: Item,
  strong: boolean,
  room: number,
  cramped: ReadonlySet<number>,
): string {
  const { model, palette, font } = picture;
  context.font = `${strong || 'fold' in item ? 600 : 400} 12px ${font}`;
  context.fillStyle = palette.text;
  const text =
    'fold' in item
      ? model.itemTitle(item)
      : cramped.has(item.group)
        ? model.title(item.party)
        : (model.view.parties[item.party]?.name ?? '');
  return fitted(context, text, room);
}

function paintCorner(context: CanvasRenderingContext2D, picture: Picture): void {
  const { frame, palette, font } = picture;
  context.fillStyle = palette.ground;
  context.fillRect(0, 0, frame.left, frame.top);
  line(context, palette.edge, 0, frame.top, frame.width, frame.top);
  line(context, palette.edge, frame.left, 0, frame.left, frame.height);
  context.font = `11px ${font}`;
  context.fillStyle = palette.soft;
  context.textAlign = 'right';
  context.fillText('from ↓', frame.left - 8, frame.top - 11);
  context.save();
  context.translate(frame.left - 11, frame.top - 24);
  context.rotate(-Math.PI / 2);
  context.textAlign = 'left';
  context.fillText('to →', 0, 0);
  context.restore();
}

function line(
  context: CanvasRenderingContext2D,
  colour: string,
  x0: number,
  y0: number,
  x1: number,
  y1: number,
): void {
  context.strokeStyle = colour;
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(x0 + 0.5, y0 + 0.5);
  context.lineTo(x1 + 0.5, y1 + 0.5);
  context.stroke();
}
