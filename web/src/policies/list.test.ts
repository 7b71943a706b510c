import { expect, test } from 'vitest';
import type { PolicySummary } from '../api/types';
import { asShow, counts, directions, narrowed, title } from './list';

const policy = (name: string, more: Partial<PolicySummary> = {}): PolicySummary => ({
  id: `NetworkPolicy/shop/${name}`,
  kind: 'NetworkPolicy',
  namespace: 'shop',
  name,
  tier: 'NetworkPolicy',
  staged: false,
  ingress: true,
  egress: false,
  subjects: 1,
  rules: 1,
  hits: 3,
  findings: 0,
  source: 'a.yaml:1',
  ...more,
});
const guard = policy('guard', { kind: 'ClusterNetworkPolicy', namespace: '', tier: 'Admin', egress: true });
const all = [
  guard,
  policy('web', { hits: 0 }),
  policy('api', { staged: true, findings: 2 }),
  policy('db', { hits: undefined }),
];
const names = (...args: Parameters<typeof narrowed> extends [unknown, ...infer R] ? R : never) =>
  narrowed(all, ...args).map((it) => it.name);

test('lists keep their order, whatever they are narrowed to', () => {
  expect(names('all', '')).toEqual(['guard', 'web', 'api', 'db']);
  expect(names('findings', '')).toEqual(['api']);
  expect(names('staged', '')).toEqual(['api']);
  expect(names('all', 'shop B')).toEqual(['web', 'db']);
  expect(names('all', 'admin')).toEqual(['guard']);
});

test('unused is what was watched and had no hit, not what nobody watched', () => {
  expect(names('unused', '')).toEqual(['web']);
  expect(counts(all)).toEqual({ all: 4, findings: 1, staged: 1, unused: 1 });
});

test('an address may say anything', () => {
  expect([asShow('staged'), asShow('toString'), asShow(undefined)]).toEqual(['staged', 'all', 'all']);
});

test('names and directions', () => {
  expect([title(guard), title(policy('web'))]).toEqual(['guard', 'shop/web']);
  expect(directions(guard)).toBe('incoming, outgoing');
  expect(directions(policy('x', { ingress: false }))).toBe('none');
});
