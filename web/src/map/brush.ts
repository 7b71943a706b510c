// The time window as two places on a line of time. Pure: what time it is now is told.

import type { Timeline } from '../api/types';

export interface Span {
  /** Milliseconds since 1970. */
  from: number;
  to: number;
}

/** All the time that a timeline tells of. */
export function spanOf(timeline: Timeline): Span {
  const from = Date.parse(timeline.since);
  return { from, to: from + timeline.buckets.length * timeline.seconds * 1000 };
}

const UNITS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

/** A time as the address has it: RFC 3339, or a length before now such as `10m` or `1h30m`. */
export function timeOf(text: string, now: number): number | undefined {
  if (/^(\d+[smhdw])+$/.test(text)) {
    let seconds = 0;
    for (const [, count, unit] of text.matchAll(/(\d+)([smhdw])/g))
      seconds += Number(count) * (UNITS[unit!] ?? 0);
    return now - seconds * 1000;
  }
  const time = Date.parse(text);
  return Number.isNaN(time) ? undefined : time;
}

/** The part of a span that is chosen by the address; all of it where that chooses nothing. */
export function chosen(span: Span, since: string | undefined, until: string | undefined, now: number): Span {
  const from = since === undefined ? span.from : (timeOf(since, now) ?? span.from);
  const to = until === undefined ? span.to : (timeOf(until, now) ?? span.to);
  const clamp = (time: number) => Math.min(span.to, Math.max(span.from, time));
  return { from: clamp(Math.min(from, to)), to: clamp(Math.max(from, to)) };
}

/** Times on bucket borders, at least one bucket long. */
export function snapped(span: Span, seconds: number, part: Span): Span {
  const step = seconds * 1000;
  const place = (time: number) => Math.round((time - span.from) / step);
  const last = Math.max(1, Math.round((span.to - span.from) / step));
  let from = Math.min(last - 1, Math.max(0, place(Math.min(part.from, part.to))));
  let to = Math.min(last, Math.max(0, place(Math.max(part.from, part.to))));
  if (to <= from) to = from + 1;
  if (to > last) {
    to = last;
    from = last - 1;
  }
  return { from: span.from + from * step, to: span.from + to * step };
}

/** How the address says a time: whole seconds. */
export function written(time: number): string {
  return new Date(time).toISOString().replace(/\.\d+Z$/, 'Z');
}
