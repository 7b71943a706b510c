import { expect, test } from 'vitest';
import type { Finding, Problem } from '../api/types';
import { asProblems, beside, diagnostics } from './problems';

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

test('what nobody knows is a warning', () => {
  const severities = ['warning', 'error', 'info', 'other'];
  const marks = diagnostics(
    text,
    severities.map((it) => problem(1, 1, it)),
  );
  expect(marks.map((it) => it.severity)).toEqual(['warning', 'error', 'info', 'warning']);
});

const finding: Finding = {
  check: 'c',
  severity: 'info',
  source: { file: 'edit 2', line: 3, column: 3 },
  object: { kind: 'NetworkPolicy', namespace: 'shop', name: 'web' },
  message: 'no pod listens',
  why: '',
  url: '',
  fingerprint: '',
};

test('findings are marked as problems are', () => {
  expect(asProblems([finding])).toEqual([
    { severity: 'info', file: 'edit 2', line: 3, column: 3, message: 'no pod listens' },
  ]);
});

test('what can’t be read is told once', () => {
  const unreadable = { ...finding, check: 'invalid-object' };
  const elsewhere = { ...unreadable, source: { file: 'shop/a.yaml', line: 3, column: 1 } };
  const problems = [{ severity: 'error', file: 'edit 2', line: 3, column: 1, message: '' }];
  expect(beside({ problems, newFindings: [finding, unreadable, elsewhere] })).toEqual([finding, elsewhere]);
});
