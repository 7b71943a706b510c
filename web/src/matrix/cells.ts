import type { MatrixView } from '../api/types';

/** The cells of a table, one after the other: a table of thousands has millions, and objects would be too large. */
export class Cells {
  private readonly width: number;
  private readonly verdicts: Uint8Array | Uint16Array | Uint32Array;

  constructor({ runs, verdicts }: Pick<MatrixView, 'runs' | 'verdicts'>) {
    const [first = []] = runs;
    let width = 0;
    for (let at = 1; at < first.length; at += 2) width += first[at]!;
    this.width = width;
    const size = width * runs.length;
    this.verdicts =
      verdicts.length <= 0x100
        ? new Uint8Array(size)
        : verdicts.length <= 0x1_0000
          ? new Uint16Array(size)
          : new Uint32Array(size);
    runs.forEach((run, row) => {
      let column = row * width;
      for (let at = 0; at + 1 < run.length; at += 2) {
        const end = column + run[at + 1]!;
        this.verdicts.fill(run[at]!, column, end);
        column = end;
      }
    });
  }

  /** The place in `verdicts` of a cell. */
  at(row: number, column: number): number | undefined {
    return column < this.width ? this.verdicts[row * this.width + column] : undefined;
  }
}

const made = new WeakMap<MatrixView, Cells>();

/** The cells of an answer: unpacked once, however often it is asked about. */
export function cellsOf(view: MatrixView): Cells {
  let cells = made.get(view);
  if (cells === undefined) made.set(view, (cells = new Cells(view)));
  return cells;
}
