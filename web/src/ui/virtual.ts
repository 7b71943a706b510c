// Which rows of a long list are drawn.

export interface Range {
  /** The first row drawn. */
  first: number;
  /** One after the last. */
  end: number;
  /** Heights of what is left out above and below, in pixels. */
  before: number;
  after: number;
}

/** Rows of one height that a viewport shows, and a few around so that scrolling finds them drawn. */
export function visible(scroll: number, height: number, row: number, count: number, around = 8): Range {
  const last = Math.max(0, count - 1);
  const top = Math.min(Math.max(0, Math.floor(scroll / row)), last);
  const bottom = Math.min(count, Math.ceil((Math.max(0, scroll) + height) / row));
  const first = Math.max(0, Math.min(top, count) - around);
  const end = Math.max(first, Math.min(count, Math.max(bottom, top) + around));
  return { first, end, before: first * row, after: (count - end) * row };
}

/** Where to scroll so that a row is seen whole; `undefined`: it is. */
export function reveal(index: number, scroll: number, height: number, row: number): number | undefined {
  const top = index * row;
  if (top < scroll) return top;
  if (top + row > scroll + height) return top + row - height;
  return undefined;
}
