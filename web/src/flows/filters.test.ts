import { expect, test } from 'vitest';
import { format, parse, patched } from '../route';
import { added, chips, cleared, command, ofFacet, query, quoted, removed, typed, words } from './filters';

const route = parse('#/flows?verdict=denied&not-port=53&namespace=shop&namespace=web&since=10m&live=off');

test('an address has filters, and other things', () => {
  expect(chips(route.params).map(words)).toEqual([
    'verdict: denied',
    'namespace: shop',
    'namespace: web',
    'not port: 53',
  ]);
  expect(query(route.params)).toEqual({
    verdict: ['denied'],
    namespace: ['shop', 'web'],
    'not-port': ['53'],
  });
});

test('chips come once and go alone', () => {
  const shop = { name: 'namespace', value: 'shop', not: false };
  expect(added(route, shop)).toEqual({});
  expect(format(patched(route, added(route, { ...shop, value: 'data' })))).toContain(
    'namespace=shop&namespace=web&namespace=data',
  );
  expect(format(patched(route, removed(route, shop)))).toContain('?live=off&namespace=web&not-port=53');
  expect(format(patched(route, cleared(route.params)))).toBe('#/flows?live=off&since=10m');
});

test.each([
  ['namespace:shop', { name: 'namespace', value: 'shop', not: false }],
  [' !port = 53', { name: 'port', value: '53', not: true }],
  ['not verdict: denied', { name: 'verdict', value: 'denied', not: true }],
  ['not-verdict:denied', { name: 'verdict', value: 'denied', not: true }],
  ['label:app in (a, b)', { name: 'label', value: 'app in (a, b)', not: false }],
  ['staged', { name: 'staged', value: 'true', not: false }],
  ['port', undefined],
  ['prot:80', undefined],
  ['', undefined],
])('typed %j', (text, chip) => expect(typed(text)).toEqual(chip));

test('a facet leads to its filter', () => {
  expect([ofFacet('node'), ofFacet('policy')]).toEqual(['node-name', 'policy']);
});

test('the same as a command', () => {
  const window = { since: '10m', until: undefined };
  expect(command(route.params, window, true)).toBe(
    'podgate observe --follow --since 10m --verdict DENIED --namespace shop --namespace web --not --to-port 53',
  );
  const ids = parse(
    '#/flows?workload=shop%2Fweb%5BDeployment%5D&policy=NetworkPolicy%2Fshop%2Fweb&policy=ClusterNetworkPolicy%2F%2Fguard&not-staged=true&label=app%20in%20(a)',
  );
  expect(command(ids.params, { since: '1h', until: '2026-11-23T10:00:00Z' }, false)).toBe(
    "podgate observe --since 1h --until 2026-11-23T10:00:00Z --namespace shop --workload Deployment/web --policy shop/web --policy 'ClusterNetworkPolicy guard' --label 'app in (a)' --not --staged",
  );
});

test('words of a shell', () => {
  expect(["it's", 'a b', 'a/b:c', ''].map(quoted)).toEqual(["'it'\\''s'", "'a b'", 'a/b:c', "''"]);
});
