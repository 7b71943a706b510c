// Whether the flows of a time window may be others than they were. Pure.
import { timeOf } from '../map/brush';

/** What the server keeps of flows, as it was told at some time. Times are milliseconds since 1970. */
export interface Kept {
  at: number;
  count: number;
  oldest: number | undefined;
  /** Of the flow that came last. */
  newest: number | undefined;
}

/** Flows of several nodes don't come in order of their times, but so near to it. */
const NEAR = 60_000;

export function mayDiffer(
  window: { since?: string | undefined; until?: string | undefined },
  before: Kept,
  now: Kept,
): boolean {
  const begins = [before, now].map(({ at }) => timeOf(window.since ?? '', at) ?? -Infinity);
  const ends = [before, now].map(({ at }) => timeOf(window.until ?? '', at) ?? Infinity);
  const went = before.oldest !== now.oldest && (now.oldest ?? Infinity) > begins[0]!;
  const came =
    (before.newest !== now.newest || before.count !== now.count) &&
    ends[1]! > (before.newest ?? -Infinity) - NEAR;
  /** Flows lie where a border of the window was and where it is, or between. */
  const passed = ([from, to]: number[]) =>
    from !== to && now.oldest !== undefined && now.newest !== undefined
      ? now.oldest - NEAR < to! && now.newest + NEAR >= from!
      : false;
  return went || came || passed(begins) || passed(ends);
}
