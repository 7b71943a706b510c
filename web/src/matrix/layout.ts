import type { Item } from './model';

/** Height of a cell, and its width where columns are many. */
export const CELL = 24;
/** A cell of at least this width has room for its ports. */
const ROOMY = 52;
/** Wider than this it needs for nothing. */
const WIDEST = 76;
/** The band that names a namespace beside its workloads. */
export const BAND = 18;

/** What a point of the matrix is. */
export type Target =
  | { kind: 'cell'; line: number; column: number }
  | { kind: 'line'; line: number }
  | { kind: 'column'; column: number }
  | { kind: 'lineGroup'; group: number }
  | { kind: 'columnGroup'; group: number };

export interface Frame {
  /** Width of the names of lines, their band included. */
  left: number;
  /** Height of the names of columns, their band included. */
  top: number;
  /** Width of a column. */
  column: number;
  scrollX: number;
  scrollY: number;
  width: number;
  height: number;
}

export interface Shown {
  first: number;
  end: number;
}

/** What is where in a room of that size, before anybody scrolls. */
export function frameIn(width: number, height: number, columns: number): Frame {
  // Names get what few columns leave.
  const left = Math.round(Math.min(210, Math.max(110, width * 0.26, width - 1 - columns * CELL)));
  const top = Math.round(Math.min(150, Math.max(96, height * 0.3)));
  const column = Math.min(WIDEST, Math.floor((width - left - 1) / Math.max(1, columns)));
  return { left, top, column: column < ROOMY ? CELL : column, scrollX: 0, scrollY: 0, width, height };
}

/** Whether cells have room for their ports. */
export function isRoomy(frame: Frame): boolean {
  return frame.column >= ROOMY;
}

/** Which of a number of lines or columns, so many pixels each, a stretch of the screen shows. */
export function shown(scroll: number, room: number, count: number, each: number): Shown {
  const first = Math.min(count, Math.max(0, Math.floor(scroll / each)));
  return { first, end: Math.min(count, Math.max(first, Math.ceil((scroll + Math.max(0, room)) / each))) };
}

/** What is at a point of the screen. */
export function targetAt(
  frame: Frame,
  lines: readonly Item[],
  columns: readonly Item[],
  x: number,
  y: number,
): Target | undefined {
  const line = Math.floor((y - frame.top + frame.scrollY) / CELL);
  const column = Math.floor((x - frame.left + frame.scrollX) / frame.column);
  const inLines = y >= frame.top && line >= 0 && line < lines.length;
  const inColumns = x >= frame.left && column >= 0 && column < columns.length;
  if (inLines && inColumns) return { kind: 'cell', line, column };
  if (inLines && x < frame.left) {
    return x < BAND ? { kind: 'lineGroup', group: lines[line]!.group } : { kind: 'line', line };
  }
  if (inColumns && y < frame.top) {
    return y < BAND ? { kind: 'columnGroup', group: columns[column]!.group } : { kind: 'column', column };
  }
  return undefined;
}

/** Where to scroll so that a cell is seen whole. */
export function scrollTo(frame: Frame, line: number, column: number): { x: number; y: number } {
  const into = (at: number, each: number, scroll: number, room: number) => {
    if (at * each < scroll) return at * each;
    if ((at + 1) * each > scroll + room) return (at + 1) * each - room;
    return scroll;
  };
  return {
    x: into(column, frame.column, frame.scrollX, frame.width - frame.left),
    y: into(line, CELL, frame.scrollY, frame.height - frame.top),
  };
}

/** A namespace's stretch of an axis. */
export interface Band {
  group: number;
  first: number;
  end: number;
  fold: boolean;
}

/** The namespaces along an axis. */
export function bands(items: readonly Item[]): Band[] {
  const bands: Band[] = [];
  items.forEach((item, index) => {
    const last = bands[bands.length - 1];
    if (last !== undefined && last.group === item.group) last.end = index + 1;
    else bands.push({ group: item.group, first: index, end: index + 1, fold: 'fold' in item });
  });
  return bands;
}
