import { describe, expect, test } from 'vitest';
import { reveal, visible } from './virtual';

describe('rows that are drawn', () => {
  test.each([
    ['at the top', 0, 100, { first: 0, end: 18, before: 0, after: 82 * 10 }],
    ['in the middle', 500, 100, { first: 42, end: 68, before: 420, after: 320 }],
    ['at the end', 900, 100, { first: 82, end: 100, before: 820, after: 0 }],
    [
      'scrolled beyond the end, as when the list got shorter',
      5000,
      100,
      { first: 91, end: 100, before: 910, after: 0 },
    ],
    ['pulled beyond the top', -50, 100, { first: 0, end: 18, before: 0, after: 820 }],
  ])('%s', (_, scroll, height, expected) => {
    expect(visible(scroll, height, 10, 100)).toEqual(expected);
  });

  test('an empty list has none', () => {
    expect(visible(0, 100, 10, 0)).toEqual({ first: 0, end: 0, before: 0, after: 0 });
  });

  test('heights always add up, and what is in the viewport is drawn', () => {
    for (let count = 0; count < 40; count += 3) {
      for (let scroll = 0; scroll < count * 7; scroll += 5) {
        const range = visible(scroll, 33, 7, count, 2);
        expect(range.before + range.after + (range.end - range.first) * 7).toBe(count * 7);
        expect(range.first * 7).toBeLessThanOrEqual(scroll);
        expect(range.end * 7).toBeGreaterThanOrEqual(Math.min(count * 7, scroll + 33));
      }
    }
  });
});

test('a row is brought into view by the shortest way', () => {
  expect(reveal(5, 0, 100, 10)).toBeUndefined();
  expect(reveal(10, 0, 100, 10)).toBe(10);
  expect(reveal(2, 50, 100, 10)).toBe(20);
});
