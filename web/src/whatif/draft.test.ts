import { expect, test } from 'vitest';
import { candidate, decode, encode, EMPTY } from './draft';

const draft = {
  edits: [
    { replaces: 'NetworkPolicy/shop/web', yaml: 'kind: NetworkPolicy # ü ✓\n'.repeat(200) },
    { replaces: '', yaml: 'kind: NetworkPolicy\n' },
  ],
  deleted: ['NetworkPolicy/shop/default-deny'],
};

test('a draft survives the address, in few letters that need no escape', async () => {
  const text = await encode(draft);
  expect(text).toMatch(/^[\w-]+$/);
  expect(text.length).toBeLessThan(400);
  expect(await decode(text)).toEqual(draft);
  expect(await decode(await encode(EMPTY))).toEqual(EMPTY);
});

test('what is no draft is none', async () => {
  const text = await encode(draft);
  for (const broken of ['', '!', 'abcd', text.slice(0, 40)]) expect(await decode(broken)).toBeUndefined();
});

test('an edit without text asks for nothing', () => {
  expect(candidate({ edits: [...draft.edits, { replaces: '', yaml: ' \n' }], deleted: [] }, '24h')).toEqual({
    edits: [draft.edits[0], { yaml: 'kind: NetworkPolicy\n' }],
    deleted: [],
    since: '24h',
  });
});
