import { expect, test } from 'vitest';
import { mayDiffer, type Kept } from './kept';

const MINUTE = 60_000;
const NOON = Date.parse('2026-03-01T12:00:00Z');

/** Minutes from noon on: when it was told, the oldest and the newest flow. */
function kept(at: number, oldest?: number, newest?: number, count = 5): Kept {
  const time = (minutes?: number) => (minutes === undefined ? undefined : NOON + minutes * MINUTE);
  return { at: NOON + at * MINUTE, count, oldest: time(oldest), newest: time(newest) };
}

test.each([
  ['nothing is kept', {}, kept(0), kept(5), false],
  ['the same flows, all in the window', { since: '1h' }, kept(0, -50, -10), kept(5, -50, -10), false],
  ['the same flows, some leave the window', { since: '1h' }, kept(0, -62, -10), kept(5, -62, -10), true],
  ['the same flows, all left before', { since: '1h' }, kept(0, -200, -70), kept(5, -200, -70), false],
  ['the same flows in a window without a beginning', {}, kept(0, -200, -10), kept(5, -200, -10), false],
  ['a flow came', { since: '1h' }, kept(0, -50, -10), kept(1, -50, 0.5), true],
  ['one came, and another went', { since: '1h' }, kept(0, -50, -10), kept(1, -49, 0.5), true],
  ['one came of the same time as the last', { since: '1h' }, kept(0, -5, -1, 5), kept(1, -5, -1, 6), true],
  ['the first came', { since: '1h' }, kept(0), kept(1, 0.5, 0.5), true],
  [
    'a flow came after a window of the past',
    { since: '2026-03-01T11:00:00Z', until: '2026-03-01T11:30:00Z' },
    kept(0, -80, -1),
    kept(1, -80, 0),
    false,
  ],
  [
    'a flow of a window of the past went',
    { since: '2026-03-01T11:00:00Z', until: '2026-03-01T11:30:00Z' },
    kept(0, -60, -1),
    kept(1, -59, 0),
    true,
  ],
  [
    'a flow went from before a window of the past',
    { since: '2026-03-01T11:00:00Z', until: '2026-03-01T11:30:00Z' },
    kept(0, -80, -1),
    kept(1, -79, 0),
    false,
  ],
  [
    'a flow came late, of the end of the window',
    { since: '2026-03-01T11:00:00Z', until: '2026-03-01T12:00:00Z' },
    kept(0, -80, 0.5),
    kept(1, -80, 1),
    true,
  ],
  [
    'the end of the window is passing flows',
    { since: '1h', until: '10m' },
    kept(0, -50, -7),
    kept(1, -50, -7),
    true,
  ],
] as const)('%s', (_, window, before, now, differs) => {
  expect(mayDiffer(window, before, now)).toBe(differs);
});
