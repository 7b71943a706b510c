import { expect, test } from 'vitest';
import type { Finding } from '../api/types';
import { added, canTry, dropped, label, problemsOf, replaceLines, TEMPLATE, withText } from './edits';

const draft = {
  edits: [
    { replaces: 'NetworkPolicy/shop/web', yaml: 'a' },
    { replaces: '', yaml: ' ' },
    { replaces: '', yaml: TEMPLATE },
  ],
  deleted: [],
};

test('parts come, change and go, and the draft they came from stays as it was', () => {
  expect(added(draft, { replaces: '', yaml: 'b' }).edits).toHaveLength(4);
  expect(dropped(draft, 0).edits.map((it) => it.yaml)).toEqual([' ', TEMPLATE]);
  expect(withText(draft, 1, 'c').edits.map((it) => it.yaml)).toEqual(['a', 'c', TEMPLATE]);
  expect(draft.edits).toHaveLength(3);
});

test('parts have names', () => {
  expect(draft.edits.map(label)).toEqual(['shop/web', 'new', 'new: my-policy']);
  expect(label({ replaces: 'ClusterNetworkPolicy//guard', yaml: '' })).toBe('ClusterNetworkPolicy guard');
  expect(label({ replaces: '', yaml: 'metadata:\n  labels:\n    a: b\n\n  name: "x.y"\n' })).toBe('new: x.y');
  expect(label({ replaces: '', yaml: 'metadata: {namespace: a, name: b}\n' })).toBe('new: b');
  expect(label({ replaces: '', yaml: 'metadata: {}\nspec:\n  name: no\n' })).toBe('new');
});

test('a problem stands at its part', () => {
  const problem = (file: string) => ({ severity: 'error', file, line: 1, column: 1, message: '' });
  const all = [problem('edit 1'), problem('edit 2')];
  expect([0, 1, 2].map((at) => problemsOf(all, at, draft))).toEqual([[all[0]], [], [all[1]]]);
  expect(problemsOf([problem('shop/edit 1'), problem('edit 12')], 0, draft)).toEqual([]);
  expect(problemsOf(all, -1, { edits: [], deleted: [] })).toEqual([]);
});

test('lines of a file are replaced in the part that begins at one of them', () => {
  const yaml = 'a\nb\nc\n';
  expect(replaceLines(yaml, 10, { first: 11, last: 11, replacement: 'x\ny\n' })).toBe('a\nx\ny\nc\n');
  expect(replaceLines(yaml, 10, { first: 10, last: 12, replacement: 'z' })).toBe('z\n');
  expect(replaceLines(yaml, 10, { first: 12, last: 12, replacement: '' })).toBe('a\nb\n');
});

test('a fix can be tried when it is a new policy, or lines of a policy', () => {
  const finding = (kind: string, fix: Finding['fix']): Finding => ({
    check: 'c',
    severity: 'warning',
    source: { file: 'a.yaml', line: 1, column: 1 },
    object: { kind, namespace: 'shop', name: 'web' },
    message: '',
    why: '',
    url: '',
    fingerprint: '',
    fix,
  });
  const edit = { file: 'a.yaml', first: 1, last: 1, replacement: '' };
  expect(canTry(finding('NetworkPolicy', undefined))).toBe(false);
  expect(canTry(finding('NetworkPolicy', { description: 'd', yaml: 'ports:\n- port: 53\n' }))).toBe(false);
  expect(canTry(finding('Deployment', { description: 'd', edit }))).toBe(false);
  expect(canTry(finding('ClusterNetworkPolicy', { description: 'd', edit }))).toBe(true);
  expect(canTry(finding('Deployment', { description: 'd', yaml: 'kind: NetworkPolicy\n' }))).toBe(true);
});
