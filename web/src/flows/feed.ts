// The rows of the table: pages of what was, and in front of them what comes.
import type { FlowPage, FlowRecord } from '../api/types';

/** Rows with an id, newest first. */
export type Row = FlowRecord & { id: string };

/** More rows than this are not kept; what is older can be asked for again. */
export const MOST = 5000;

export class Feed {
  rows: readonly Row[] = [];
  /** What came while the table was not to move, newest first. */
  waiting: readonly Row[] = [];
  /** What `before` of the next page is; `undefined`: there is none. */
  next: string | undefined;
  /** Older rows were let go: there is no next page, but there are older flows. */
  full = false;
  #known = new Set<string>();
  #unnamed = 0;

  /** The first page, in place of all rows. */
  begin(page: FlowPage): void {
    this.#known = new Set();
    this.waiting = [];
    this.rows = this.#fresh(page.records);
    this.next = page.next;
    this.full = false;
  }

  /** A further page; none where rows were let go meanwhile. */
  extend(page: FlowPage): void {
    if (this.full) return;
    this.rows = [...this.rows, ...this.#fresh(page.records)];
    this.next = page.next;
  }

  /** Records that came, in the order of their coming; with `hold` they wait. */
  come(records: readonly FlowRecord[], hold: boolean): void {
    this.waiting = [...this.#fresh(records).reverse(), ...this.waiting].slice(0, MOST);
    if (!hold) this.release();
  }

  /** Shows what waits. */
  release(): void {
    if (this.waiting.length === 0) return;
    const all = [...this.waiting, ...this.rows];
    this.waiting = [];
    this.rows = all.slice(0, MOST);
    for (const gone of all.slice(MOST)) this.#known.delete(gone.id);
    if (all.length > MOST) {
      this.full = true;
      this.next = undefined;
    }
  }

  /** Those not among the rows yet: a stream repeats what the page had when it starts. */
  #fresh(records: readonly FlowRecord[]): Row[] {
    const fresh: Row[] = [];
    for (const record of records) {
      const id = record.id ?? `unnamed-${(this.#unnamed += 1)}`;
      if (this.#known.has(id)) continue;
      this.#known.add(id);
      fresh.push({ ...record, id });
    }
    return fresh;
  }
}
