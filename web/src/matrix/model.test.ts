import { describe, expect, it } from 'vitest';
import type { MatrixView, Place, PortRange } from '../api/types';
import { BAND, CELL, bands, frameIn, isRoomy, scrollTo, shown, targetAt } from './layout';
import { Cells } from './cells';
import { Model, changeKind, openGroups, openParam, type Filters, type Item } from './model';
import { bare, holds, readPort } from './ports';

function place(id: string): Place & { pods: number } {
  const [namespace = '', name = ''] = id.includes('/') ? id.split('/') : ['', id];
  return { id, end: id, namespace, name, kind: 'Deployment', pods: 1 };
}

const tcp = (port: number): PortRange => ({ protocol: 'TCP', first: port, last: port });
const ALL = (['TCP', 'UDP', 'SCTP'] as const).map((protocol) => ({ protocol, first: 1, last: 65_535 }));

// The two workloads of data can't be told apart: they share a row and a column.
const view: MatrixView = {
  revision: 1,
  parties: [
    place('data/database'),
    place('data/cache'),
    place('shop/backend'),
    place('web/frontend'),
    place('internet'),
  ],
  rows: [0, 0, 1, 2, null],
  columns: [0, 0, 1, 2, 3],
  verdicts: [
    { ports: 'none', named: { ports: 'none', ranges: [] } },
    { ports: 'all', named: { ports: 'all', ranges: ALL } },
    { ports: 'TCP 5432', named: { ports: 'TCP 5432', ranges: [tcp(5432)] } },
  ],
  runs: [
    [0, 4],
    [2, 1, 0, 2, 1, 1],
    [0, 1, 1, 1, 0, 2],
  ],
  observed: [{ from: 2, to: 0, protocol: 'TCP', port: 5432, allowed: 9, denied: 1 }],
  measured: [{ from: 2, to: 0, protocol: 'TCP', port: 5432, allowed: 1, denied: 0 }],
  disagreements: [
    {
      from: place('web/frontend'),
      to: place('data/database'),
      protocol: 'TCP',
      port: 5432,
      expected: 'denied',
      observed: 'allowed',
      text: 'Policy denies it, and it came through.',
    },
  ],
};

const none: Filters = { from: '', to: '', port: undefined, verdict: undefined };
const every = new Set(['data', 'shop', 'web', '']);
const parties = (items: readonly Item[]) => items.map((item) => ('party' in item ? item.party : -1));

describe('ports', () => {
  it('reads what people write', () => {
    expect(readPort('5432')).toEqual({ protocol: undefined, port: 5432 });
    expect(readPort('tcp/443')).toEqual({ protocol: 'TCP', port: 443 });
    expect(readPort('53 udp')).toEqual({ protocol: 'UDP', port: 53 });
    for (const bad of ['', 'http', '0', '70000', '80 90', 'tcp', 'tcp/80/90'])
      expect(readPort(bad)).toBeUndefined();
  });

  it('says ports in fewer words', () => {
    expect(bare('TCP 8079')).toBe('8079');
    expect(bare('TCP 53, UDP 53')).toBe('53');
    expect(bare('TCP 80,443, UDP 53')).toBe('80,443, 53');
    expect(bare('all but TCP 23')).toBe('all but 23');
  });

  it('knows what a set holds', () => {
    expect(holds([tcp(80)], { protocol: undefined, port: 80 })).toBe(true);
    expect(holds([tcp(80)], { protocol: 'UDP', port: 80 })).toBe(false);
  });
});

describe('model', () => {
  const model = new Model(view, undefined, undefined);

  it('reads cells by class', () => {
    expect(model.glance(2, 0)).toBe('partly');
    expect(model.glance(2, 1)).toBe('partly');
    expect(model.glance(3, 2)).toBe('allowed');
    expect(model.glance(0, 2)).toBe('denied');
    expect(model.glance(4, 0)).toBe('never');
  });

  it('unpacks runs, whatever the number of verdicts', () => {
    const verdicts = (number: number) => Array.from({ length: number }, () => view.verdicts[0]!);
    for (const number of [3, 300, 70_000]) {
      const cells = new Cells({
        runs: [
          [number - 1, 2, 0, 1],
          [0, 3],
        ],
        verdicts: verdicts(number),
      });
      const all = [0, 1].map((row) => [0, 1, 2, 3].map((column) => cells.at(row, column)));
      expect(all).toEqual([
        [number - 1, number - 1, 0, undefined],
        [0, 0, 0, undefined],
      ]);
    }
    expect(new Cells({ runs: [], verdicts: [] }).at(0, 0)).toBeUndefined();
  });

  it('answers for one port', () => {
    const asked = new Model(view, { protocol: 'TCP', port: 5432 }, undefined);
    expect(asked.glance(2, 0)).toBe('allowed');
    expect(asked.glance(3, 2)).toBe('allowed');
    const other = new Model(view, { protocol: 'UDP', port: 5432 }, undefined);
    expect(other.glance(2, 0)).toBe('denied');
    expect(other.ports(2, 0)).toBe('denied on UDP 5432 (allowed on TCP 5432)');
  });

  it('folds namespaces and says where they differ', () => {
    const { lines, columns } = model.axes(none, new Set(['shop']));
    expect(lines).toEqual([
      { fold: true, group: 0 },
      { party: 2, group: 1 },
      { fold: true, group: 2 },
      { fold: true, group: 3 },
    ]);
    expect(model.glanceAt(lines[1]!, columns[0]!)).toBe('partly');
    expect(model.glanceAt(lines[0]!, columns[1]!)).toBe('denied');
    expect(model.glanceAt(lines[3]!, columns[0]!)).toBe('never');
    const differing = new Model({ ...view, rows: [0, 1, 1, 2, null] }, undefined, undefined);
    expect(differing.glanceAt({ fold: true, group: 0 }, { party: 0, group: 0 })).toBe('mixed');
    expect(differing.shareAt({ fold: true, group: 0 }, { party: 0, group: 0 })).toBe(0.5);
    expect(model.disagreesAt({ fold: true, group: 2 }, { fold: true, group: 0 })).toBe(true);
    expect(model.disagreesAt({ fold: true, group: 0 }, { fold: true, group: 2 })).toBe(false);
  });

  it('filters by text and by verdict', () => {
    expect(parties(model.axes({ ...none, to: 'data/' }, every).columns)).toEqual([0, 1]);
    const partly = model.axes({ ...none, verdict: 'partly' }, every);
    expect(parties(partly.lines)).toEqual([2]);
    expect(parties(partly.columns)).toEqual([0, 1]);
    const disagree = model.axes({ ...none, verdict: 'disagree' }, every);
    expect([parties(disagree.lines), parties(disagree.columns)]).toEqual([[3], [0]]);
    expect(model.axes({ ...none, verdict: 'changed' }, every).lines).toEqual([]);
  });

  it('says what came of probes between many pods', () => {
    const probe = { from: 2, to: 0, protocol: 'TCP', port: 5432 };
    const measured = [
      { ...probe, allowed: 1, denied: 3 },
      { ...probe, port: 80, allowed: 0, denied: 4 },
      { ...probe, protocol: 'ICMP', port: 0, allowed: 4, denied: 0 },
    ];
    const told = new Model({ ...view, measured }, undefined, undefined).evidenceOf(2, 0)?.measured;
    expect(told).toEqual([
      'TCP 5432: 1 of 4 came through',
      'TCP 80: did not come through',
      'ICMP: came through',
    ]);
  });

  it('says a cell in sentences', () => {
    expect(model.sentence({ party: 2, group: 1 }, { party: 0, group: 0 })).toBe(
      'shop/backend to data/database: allowed on TCP 5432. Seen: TCP 5432: 9 let through, 1 denied. ' +
        'Probed: TCP 5432: came through.',
    );
    expect(model.sentence({ party: 3, group: 2 }, { party: 0, group: 0 })).toContain(
      'Disagrees: Policy denies it, and it came through.',
    );
  });

  it('marks what a change does', () => {
    const compared = new Model(view, undefined, [
      { from: 'web/frontend', to: 'data/database', before: 'none', after: 'TCP 5432' },
      { from: 'shop/backend', to: 'data/database', before: 'TCP 5432', after: 'none' },
      { from: 'gone/gone', to: 'data/database', before: 'TCP 5432', after: 'none' },
    ]);
    expect(compared.changed).toEqual({ opened: 1, closed: 1, changed: 0 });
    expect(compared.change(3, 0)?.kind).toBe('opened');
    expect(compared.changeAt({ fold: true, group: 1 }, { fold: true, group: 0 })).toBe('closed');
    expect(compared.changeAt({ fold: true, group: 0 }, { fold: true, group: 0 })).toBeUndefined();
    expect(parties(compared.axes({ ...none, verdict: 'changed' }, every).lines)).toEqual([2, 3]);
    expect(changeKind('TCP 80', 'TCP 80,443')).toBe('changed');
    expect(changeKind('TCP 80', 'all')).toBe('opened');
    expect(changeKind('all', 'TCP 80')).toBe('closed');
  });

  it('keeps what is unfolded in the address', () => {
    expect(openGroups(model, [])).toEqual(every);
    expect(openParam(model, every)).toEqual([]);
    expect(openParam(model, new Set())).toEqual(['none']);
    expect(openGroups(model, ['none']).size).toBe(0);
    const some = new Set(['web', '']);
    expect(openGroups(model, openParam(model, some))).toEqual(some);
  });
});

describe('layout', () => {
  const frame = { left: 100, top: 80, column: 60, scrollX: 0, scrollY: CELL, width: 400, height: 300 };
  const items: Item[] = [
    { fold: true, group: 0 },
    { party: 2, group: 1 },
    { party: 3, group: 1 },
  ];

  it('has cells with room for ports where columns are few, and small ones where they are many', () => {
    expect(frameIn(1400, 800, 6)).toMatchObject({ left: 210, top: 150, column: 76 });
    expect(frameIn(1400, 800, 21).column).toBe(56);
    expect(isRoomy(frameIn(1400, 800, 21))).toBe(true);
    expect(frameIn(1400, 800, 40).column).toBe(CELL);
    expect(isRoomy(frameIn(390, 500, 8))).toBe(false);
    expect(frameIn(390, 500, 8).left).toBe(390 - 1 - 8 * CELL);
    expect(frameIn(0, 0, 0).column).toBe(CELL);
  });

  it('knows what is at a point', () => {
    expect(targetAt(frame, items, items, 100 + 60 + 1, 81)).toEqual({ kind: 'cell', line: 1, column: 1 });
    expect(targetAt(frame, items, items, 50, 81)).toEqual({ kind: 'line', line: 1 });
    expect(targetAt(frame, items, items, BAND - 1, 81)).toEqual({ kind: 'lineGroup', group: 1 });
    expect(targetAt(frame, items, items, 101, BAND - 1)).toEqual({ kind: 'columnGroup', group: 0 });
    expect(targetAt(frame, items, items, 399, 81)).toBeUndefined();
    expect(targetAt(frame, items, items, 50, 50)).toBeUndefined();
  });

  it('draws what is in view', () => {
    expect(shown(0, 100, 1000, CELL)).toEqual({ first: 0, end: 5 });
    expect(shown(CELL * 995 + 3, 1000, 1000, CELL)).toEqual({ first: 995, end: 1000 });
    expect(shown(99_999, 100, 3, 60)).toEqual({ first: 3, end: 3 });
  });

  it('scrolls as little as it takes', () => {
    expect(scrollTo(frame, 1, 0)).toEqual({ x: 0, y: CELL });
    expect(scrollTo(frame, 0, 20)).toEqual({ x: 21 * 60 - 300, y: 0 });
  });

  it('names namespaces once', () => {
    expect(bands(items)).toEqual([
      { group: 0, first: 0, end: 1, fold: true },
      { group: 1, first: 1, end: 3, fold: false },
    ]);
  });
});
