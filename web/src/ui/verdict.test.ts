import { expect, test } from 'vitest';
import { COLOURS, ofAnswer, shown, SIGNS, WORDS } from './verdict';

test('every verdict has a sign, a word and a colour of its own', () => {
  for (const table of [SIGNS, WORDS, COLOURS]) {
    const values = Object.values(table);
    expect(new Set(values).size).toBe(values.length);
    expect(values).toHaveLength(5);
  }
});

test('answers and words become verdicts; what nobody knows stays unknown', () => {
  expect(['yes', 'no', 'partly'].map(ofAnswer)).toEqual(['allowed', 'denied', 'partly']);
  expect(['allowed', 'denied', 'other'].map(shown)).toEqual(['allowed', 'denied', 'unknown']);
});
