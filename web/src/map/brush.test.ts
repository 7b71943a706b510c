import { describe, expect, it } from 'vitest';
import { chosen, snapped, spanOf, timeOf, written } from './brush';

const now = Date.parse('2026-03-01T12:00:00Z');
const bucket = { allowed: 1, denied: 0, staged: 0 };
const span = spanOf({ since: '2026-03-01T10:00:00Z', seconds: 60, buckets: Array(120).fill(bucket) });

describe('brush', () => {
  it('reads times and lengths', () => {
    expect(timeOf('10m', now)).toBe(now - 600_000);
    expect(timeOf('1h30m', now)).toBe(now - 5_400_000);
    expect(timeOf('2026-03-01T11:00:00Z', now)).toBe(now - 3_600_000);
    expect(timeOf('soon', now)).toBeUndefined();
  });

  it('chooses what the address says, within the history', () => {
    expect(span.to).toBe(now);
    expect(chosen(span, '1h', undefined, now)).toEqual({ from: now - 3_600_000, to: now });
    expect(chosen(span, '30d', undefined, now)).toEqual(span);
    expect(chosen(span, '90m', '2026-03-01T11:00:00Z', now)).toEqual({
      from: now - 5_400_000,
      to: now - 3_600_000,
    });
  });

  it('snaps to buckets and is never empty', () => {
    const at = span.from + 10 * 60_000;
    expect(snapped(span, 60, { from: at + 5_000, to: at + 100_000 })).toEqual({ from: at, to: at + 120_000 });
    expect(snapped(span, 60, { from: at, to: at })).toEqual({ from: at, to: at + 60_000 });
    expect(snapped(span, 60, { from: span.to, to: span.to + 9_999_999 })).toEqual({
      from: span.to - 60_000,
      to: span.to,
    });
    expect(snapped(span, 60, { from: at + 120_000, to: at })).toEqual({ from: at, to: at + 120_000 });
  });

  it('writes whole seconds', () => {
    expect(written(now + 123)).toBe('2026-03-01T12:00:00Z');
  });
});
