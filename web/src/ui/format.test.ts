import { describe, expect, test } from 'vitest';
import { ago, bytes, called, clock, count, counted, end, losses, missing, percent, place } from './format';

test('numbers', () => {
  expect(count(1234567)).toBe('1,234,567');
  expect(counted(1, 'policy', 'policies')).toBe('1 policy');
  expect(counted(0, 'flow')).toBe('0 flows');
  expect([0, 1023, 1024, 1536, 250 * 1024, 5 * 1024 ** 4].map(bytes)).toEqual([
    '0 B',
    '1023 B',
    '1.0 KiB',
    '1.5 KiB',
    '250 KiB',
    '5.0 TiB',
  ]);
});

test.each([
  ['/home/ada/clusters/shop/', 'files', 'shop'],
  ['app/base, app/overlays/staging', 'files', 'base, staging'],
  ['policies.yaml', 'files', 'policies.yaml'],
  ['/', 'files', '/'],
  ['arn:aws:eks:eu-west-1:1:cluster/shop', 'cluster', 'arn:aws:eks:eu-west-1:1:cluster/shop'],
])('%s of %s is called %s', (name, origin, short) => {
  expect(called(name, origin)).toBe(short);
});

describe('times', () => {
  const now = new Date(2026, 10, 23, 12, 0, 0);
  const before = (seconds: number) => new Date(now.getTime() - seconds * 1000).toISOString();

  test.each([
    [1, 'just now'],
    [-3, 'just now'],
    [59, '59 s ago'],
    [60, '1 min ago'],
    [3599, '59 min ago'],
    [86_399, '23 h ago'],
    [86_400, '1 day ago'],
    [200_000, '2 days ago'],
  ])('%s seconds', (seconds, text) => expect(ago(before(seconds), now)).toBe(text));

  test('a clock says the day where it is not today', () => {
    expect(clock(before(61), now)).toBe('11:58:59');
    expect(clock(before(86_400), now)).toBe('22 Nov 12:00:00');
    expect(clock(new Date(now.getTime() + 7).toISOString(), now, true)).toBe('12:00:00.007');
    expect(clock('soon', now)).toBe('soon');
  });
});

test('ends', () => {
  expect(
    place({ id: 'shop/web[Deployment]', end: '', namespace: 'shop', name: 'web', kind: 'Deployment' }),
  ).toBe('shop/web');
  expect(place({ id: 'node a', end: '', namespace: '', name: 'a', kind: 'Node' })).toBe('node a');
  expect(place({ id: 'shop', end: 'shop/*', namespace: 'shop', name: 'shop', kind: 'Namespace' })).toBe(
    'shop',
  );
  expect(end({ ip: '10.0.0.1', port: 1, kind: 'pod', namespace: 'shop', pod: 'web-1' })).toBe('shop/web-1');
  expect(end({ ip: '1.1.1.1', port: 1, kind: 'outside' })).toBe('1.1.1.1');
  expect(end({ ip: '1.1.1.1', port: 1, kind: 'outside', dns: ['one.example'] })).toBe('one.example');
});

test('losses say what is missing and don’t count what was only counted', () => {
  const lost = { kernel: 2, suppressed: 5, disk: 0, export: 0, nodes: 1 };
  expect(losses(lost)).toEqual([
    '2 lost because the kernel’s buffer was full',
    '5 denials counted, not reported one by one',
    '1 nodes not heard',
  ]);
  expect(missing(lost)).toBe(3);
  expect(losses({ kernel: 0 })).toEqual([]);
});

test('a share is all or nothing only when it is', () => {
  expect(percent(0, 0)).toBe('–');
  expect([0, 1, 999, 1000].map((part) => percent(part, 1000))).toEqual(['0%', '1%', '99%', '100%']);
});
