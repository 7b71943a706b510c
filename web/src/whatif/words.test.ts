import { expect, test } from 'vitest';
import type { WhatIf } from '../api/types';
import { cause, ends, headline } from './words';

test('ends', () => {
  expect(ends({ workloads: ['shop/web[Deployment]', 'data/db[StatefulSet]'] })).toBe('shop/web, data/db');
  expect(ends({ allPods: true, except: ['shop/web[Deployment]'], addresses: ['10.0.0.0/8'] })).toBe(
    'all pods, 10.0.0.0/8 but shop/web',
  );
  expect(ends({ namespaces: ['shop', 'web'] })).toBe('all pods of shop, web');
  expect(ends({ addresses: Array.from({ length: 9 }, (_, i) => String(i)) })).toBe(
    '0, 1, 2, 3, 4, 5 and 3 more',
  );
});

test('causes', () => {
  const base = { direction: 'egress' as const, sources: [], policies: ['shop/web'] };
  expect(cause({ ...base, effect: 'ruleAllows', rule: 1, state: 'new' })).toBe(
    'shop/web egress[1] allows it now',
  );
  expect(cause({ ...base, effect: 'ruleAllowed', rule: 0, state: 'gone' })).toBe(
    'shop/web egress[0] allowed it, which is gone',
  );
  expect(cause({ ...base, effect: 'isolated', state: 'new' })).toBe('shop/web isolates now (egress)');
  expect(cause({ ...base, effect: 'noLongerIsolated', policies: ['a', 'b'], state: 'gone' })).toBe(
    'a, b no longer isolate (egress)',
  );
});

test('the headline says what opens, closes and is cut', () => {
  const ports = { ports: 'none', ranges: [] };
  const connection = { from: {}, to: {}, before: ports, after: ports, workloadChanged: false, causes: [] };
  const whatIf: WhatIf = {
    revision: 1,
    problems: [],
    newFindings: [],
    mendedFindings: [],
    cells: [],
    patch: '',
    diff: {
      workloadsAdded: [],
      workloadsRemoved: [],
      exposed: [{ workload: 'shop/web', ports: 'TCP 80' }],
      connections: [
        { ...connection, kind: 'opened' },
        { ...connection, kind: 'closed' },
        { ...connection, kind: 'closed' },
      ],
    },
  };
  expect(headline(whatIf).map((it) => it.text)).toEqual([
    'opens 1 connection',
    'closes 2 connections',
    'opens 1 workload to the internet',
  ]);
  const none = { ...whatIf, diff: { ...whatIf.diff, connections: [], exposed: [] } };
  expect(headline(none).map((it) => it.text)).toEqual(['opens and closes nothing']);
});
