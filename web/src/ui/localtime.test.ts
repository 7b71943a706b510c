import { expect, test } from 'vitest';
import { fromLocal, toLocal } from './localtime';

test('a time survives a field of a form, to the second', () => {
  const time = new Date(2026, 0, 5, 7, 8, 9);
  expect(toLocal(time)).toBe('2026-01-05T07:08:09');
  expect(fromLocal(toLocal(time))).toBe(time.toISOString().replace('.000', ''));
  expect(fromLocal('soon')).toBeUndefined();
});
