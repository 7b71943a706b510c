import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { format, parse, patched } from '../route';
import {
  FILTERS,
  SWITCHES,
  added,
  chips,
  cleared,
  command,
  query,
  quoted,
  removed,
  typed,
  words,
} from './filters';

interface Parameter {
  name: string;
  schema: unknown;
}

const route = parse('#/flows?verdict=denied&not-to-port=53&namespace=shop&namespace=web&since=10m&live=off');

test('an address has filters, and other things', () => {
  expect(chips(route.params).map(words)).toEqual([
    'verdict: denied',
    'namespace: shop',
    'namespace: web',
    'not to-port: 53',
  ]);
  expect(query(route.params)).toEqual({
    verdict: ['denied'],
    namespace: ['shop', 'web'],
    'not-to-port': ['53'],
  });
});

test('chips come once and go alone', () => {
  const shop = { name: 'namespace', value: 'shop', not: false };
  expect(added(route, shop)).toEqual({});
  expect(format(patched(route, added(route, { ...shop, value: 'data' })))).toContain(
    'namespace=shop&namespace=web&namespace=data',
  );
  expect(format(patched(route, removed(route, shop)))).toContain('?live=off&namespace=web&not-to-port=53');
  expect(format(patched(route, cleared(route.params)))).toBe('#/flows?live=off&since=10m');
});

test.each([
  ['namespace:shop', { name: 'namespace', value: 'shop', not: false }],
  [' !to-port = 53', { name: 'to-port', value: '53', not: true }],
  ['ipv6', { name: 'ipv6', value: 'true', not: false }],
  ['not verdict: denied', { name: 'verdict', value: 'denied', not: true }],
  ['not-verdict:denied', { name: 'verdict', value: 'denied', not: true }],
  ['label:app in (a, b)', { name: 'label', value: 'app in (a, b)', not: false }],
  ['staged', { name: 'staged', value: 'true', not: false }],
  ['port', undefined],
  ['prot:80', undefined],
  ['', undefined],
])('typed %j', (text, chip) => expect(typed(text)).toEqual(chip));

test('the filters are those of the API', () => {
  const text = readFileSync(new URL('../../../docs/schema/openapi.json', import.meta.url), 'utf8');
  const api = JSON.parse(text) as { paths: Record<string, { get: { parameters: Parameter[] } }> };
  const parameters = api.paths['/api/v1/flows']?.get.parameters ?? [];
  const turned = parameters.filter((it) => it.name.startsWith('not-'));
  expect(turned.length).toBeGreaterThan(0);
  expect(Object.keys(FILTERS).sort()).toEqual(turned.map((it) => it.name.slice(4)).sort());
  const switches = turned.filter((it) => JSON.stringify(it.schema).includes('"true"'));
  expect(switches.map((it) => it.name.slice(4)).sort()).toEqual([...SWITCHES].sort());
});

test('the same as a command', () => {
  const window = { since: '10m', until: undefined };
  expect(command(route.params, window, true)).toBe(
    'podgate observe --follow --since 10m --verdict denied --namespace shop --namespace web --not --to-port 53',
  );
  const ids = parse(
    '#/flows?workload=shop%2Fweb%5BDeployment%5D&policy=NetworkPolicy%2Fshop%2Fweb&policy=ClusterNetworkPolicy%2F%2Fguard&not-staged=true&label=app%20in%20(a)',
  );
  expect(command(ids.params, { since: '1h', until: '2026-11-23T10:00:00Z' }, false)).toBe(
    "podgate observe --since 1h --until 2026-11-23T10:00:00Z --workload 'shop/web[Deployment]' --policy NetworkPolicy/shop/web --policy ClusterNetworkPolicy//guard --label 'app in (a)' --not --staged",
  );
});

test('words of a shell', () => {
  expect(["it's", 'a b', 'a/b:c', ''].map(quoted)).toEqual(["'it'\\''s'", "'a b'", 'a/b:c', "''"]);
});
