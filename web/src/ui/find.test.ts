import { expect, test } from 'vitest';
import type { PolicySummary } from '../api/types';
import { entries, find } from './find';

const place = (namespace: string, name: string, kind = 'Deployment') => ({
  id: `${namespace}/${name}[${kind}]`,
  end: '',
  namespace,
  name,
  kind,
});
const policy = {
  id: 'NetworkPolicy/shop/web',
  kind: 'NetworkPolicy',
  namespace: 'shop',
  name: 'web',
  staged: true,
};
const all = entries(
  [
    place('shop', 'web'),
    place('shop', 'webhook'),
    place('web', 'api'),
    place('data', 'database', 'StatefulSet'),
  ],
  [policy as PolicySummary],
);
const titles = (text: string) => find(all, text).map((it) => `${it.title} ${it.kind}`);

test('a whole name comes first, then beginnings, then namespaces', () => {
  expect(titles('web')).toEqual([
    'shop/web Deployment',
    'shop/web NetworkPolicy, staged',
    'shop/webhook Deployment',
    'web/api Deployment',
  ]);
});

test('words may come in any order and name kinds', () => {
  expect(titles('stateful data')).toEqual(['data/database StatefulSet']);
  expect(titles('policy web')).toEqual(['shop/web NetworkPolicy, staged']);
});

test('nothing typed shows the first, nonsense nothing', () => {
  expect(titles(' ')).toHaveLength(5);
  expect(titles('nonsense')).toEqual([]);
});
