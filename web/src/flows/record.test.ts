import { expect, test } from 'vitest';
import type { Decision, FlowRecord } from '../api/types';
import { because, decided, nearly, placeIdOf, policyIdOf, portOf } from './record';

const web = { kind: 'NetworkPolicy', namespace: 'shop', name: 'web' };
const guard = { kind: 'ClusterNetworkPolicy', namespace: '', name: 'guard' };
const rule: Decision = { verdict: 'allowed', reason: 'rule', policy: web, list: 'egress', rule: 1 };
const isolated: Decision = {
  verdict: 'denied',
  reason: 'isolated',
  policies: [web, guard],
  nearest: { policy: web, list: 'ingress', rule: 0, but: 'the port is 81' },
};
const open: Decision = { verdict: 'allowed', reason: 'not-isolated' };
const record = (egress?: Decision, ingress?: Decision, port = 80): FlowRecord => ({
  time: '2026-11-23T10:00:00Z',
  node: 'a',
  verdict: 'allowed',
  protocol: 'TCP',
  source: { ip: '10.0.0.1', port: 4000, kind: 'outside' },
  destination: { ip: '10.0.0.2', port, kind: 'outside' },
  egress,
  ingress,
});

test('reasons are words', () => {
  expect(because(rule)).toBe('shop/web egress[1]');
  expect(because({ ...rule, policy: guard, list: 'ingress', rule: 0 })).toBe(
    'ClusterNetworkPolicy guard ingress[0]',
  );
  expect(because(isolated)).toBe('isolated by shop/web, ClusterNetworkPolicy guard');
  expect(because({ verdict: 'denied', reason: 'table-full' })).toBe('no room in the kernel’s tables');
});

test('who decided: the side that denied, or what allowed it', () => {
  expect(decided(record(rule, isolated))).toBe(because(isolated));
  expect(decided(record(rule, open))).toBe('shop/web egress[1]');
  expect(decided(record(rule, rule))).toBe('shop/web egress[1]');
  expect(decided(record(open, open))).toBe('no policy has a say');
  expect(decided(record())).toBe('');
});

test('the nearest miss', () => {
  expect(nearly(isolated)).toBe('shop/web ingress[0] almost allowed it, but the port is 81');
  expect([nearly(open), nearly(undefined)]).toEqual(['', '']);
});

test('places', () => {
  const pod = { ip: '10.0.0.1', port: 1, kind: 'pod' as const, namespace: 'shop', pod: 'web-1' };
  expect(placeIdOf(pod)).toBe('shop/web-1[Pod]');
  expect(placeIdOf({ ...pod, owner: { kind: 'Deployment', name: 'web' } })).toBe('shop/web[Deployment]');
  expect(placeIdOf({ ip: '1.1.1.1', port: 1, kind: 'outside' })).toBeUndefined();
});

test('ids and ports', () => {
  expect([policyIdOf(web), policyIdOf(guard)]).toEqual([
    'NetworkPolicy/shop/web',
    'ClusterNetworkPolicy//guard',
  ]);
  expect([portOf(record()), portOf(record(undefined, undefined, 0))]).toEqual(['TCP 80', 'TCP']);
});
