import type { Item } from './model';

/** Side of a cell. */
export const CELL = 24;
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
  scrollX: number;
  scrollY: number;
  width: number;
  height: number;
}

export interface Shown {
  first: number;
  end: number;
}

/** Which of a number of lines a stretch of the screen shows. */
export function shown(scroll: number, room: number, count: number): Shown {
  const first = Math.min(count, Math.max(0, Math.floor(scroll / CELL)));
  return { first, end: Math.min(count, Math.max(first, Math.ceil((scroll + Math.max(0, room)) / CELL))) };
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
  const column = Math.floor((x - frame.left + frame.scrollX) / CELL);
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
  const into = (at: number, scroll: number, room: number) => {
    if (at * CELL < scroll) return at * CELL;
    if ((at + 1) * CELL > scroll + room) return (at + 1) * CELL - room;
    return scroll;
  };
  return {
    x: into(column, frame.scrollX, frame.width - frame.left),
    y: into(line, frame.scrollY, frame.height - frame.top),
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
