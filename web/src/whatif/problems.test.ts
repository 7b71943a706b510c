import { expect, test } from 'vitest';
import type { Problem } from '../api/types';
import { diagnostics } from './problems';

const text = 'kind: NetworkPolicy\nspec:\n  oops: 1\n';
const problem = (line: number, column: number, severity = 'error'): Problem => ({
  severity,
  file: 'edit',
  line,
  column,
  message: 'm',
});
const marked = (...problems: Problem[]) =>
  diagnostics(text, problems).map((it) => text.slice(it.from, it.to));

test('a place is marked as the word that is there', () => {
  expect(marked(problem(3, 3), problem(1, 7))).toEqual(['NetworkPolicy', 'oops']);
});

test('without a column it is the line’s first word, without a line the text’s', () => {
  expect(marked(problem(3, 0))).toEqual(['oops']);
  expect(marked(problem(0, 0))).toEqual(['kind']);
});

test('places beyond the text are its end', () => {
  expect(diagnostics(text, [problem(99, 99)])[0]).toMatchObject({ from: text.length, to: text.length });
});

test('what is no error is a warning', () => {
  expect(diagnostics(text, [problem(1, 1, 'warning'), problem(1, 1)]).map((it) => it.severity)).toEqual([
    'warning',
    'error',
  ]);
});
