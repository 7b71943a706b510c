import { expect, test } from 'vitest';
import { added, dropped, label, problemsOf, TEMPLATE, withText } from './edits';

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
  const alone = { edits: [{ replaces: '', yaml: 'a' }], deleted: [] };
  expect(problemsOf([problem('edit')], 0, alone)).toHaveLength(1);
  expect(problemsOf([problem('edit')], 0, draft)).toHaveLength(0);
});
