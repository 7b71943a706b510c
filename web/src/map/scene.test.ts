import { describe, expect, it } from 'vitest';
import type { MapEdge, MapNode, MapView } from '../api/types';
import { SAMPLES, bounds, pointAt, route } from './geometry';
import { Grid } from './grid';
import { DEFAULT_LAYERS, facts, layersOf, layersParam, look } from './layers';
import { edgeSentence, find, first, lit, looks, nodeSentence, scene, step } from './scene';

function node(id: string, x: number, y: number, more: Partial<MapNode> = {}): MapNode {
  const [namespace = '', name = ''] = id.split('/');
  return {
    id,
    end: id,
    namespace,
    name,
    kind: 'Deployment',
    x,
    y,
    w: 100,
    h: 24,
    pods: 1,
    ingress: true,
    egress: true,
    findings: 0,
    crowded: 0,
    ...more,
  };
}

function edge(from: number, to: number, more: Partial<MapEdge> = {}): MapEdge {
  return { from, to, allowed: 'TCP 80', unprotected: false, folded: false, ...more };
}

function map(nodes: MapNode[], edges: MapEdge[]): MapView {
  return {
    revision: 1,
    scope: 'workloads',
    width: 1000,
    height: 600,
    groups: [],
    nodes,
    edges,
    moreEdges: 0,
  };
}

const seen = { allowed: 0, denied: 0, staged: 0, bytes: 0 };

const shop = map(
  [
    node('web/frontend', 40, 40),
    node('shop/backend', 300, 40, { pods: 2 }),
    node('data/database', 600, 40),
    node('kube-system/dns', 300, 300, { hub: 'dns' }),
  ],
  [
    edge(0, 1, { allowed: 'TCP 9000', seen: { ...seen, allowed: 7 } }),
    edge(1, 2, { allowed: 'TCP 5432', seen }),
    edge(0, 2, { allowed: '', seen: { ...seen, denied: 3 } }),
    edge(0, 3, { folded: true, allowed: 'UDP 53', seen: { ...seen, allowed: 1 } }),
    edge(2, 3, { folded: true, allowed: '', seen: { ...seen, denied: 2 } }),
  ],
);

describe('layers', () => {
  it('tells what an edge is', () => {
    expect(facts(shop.edges[0]!)).toEqual(['seen', 'allowed']);
    expect(facts(shop.edges[1]!)).toEqual(['unused', 'allowed']);
    expect(facts(shop.edges[2]!)).toEqual(['denied']);
    expect(facts(edge(0, 1, { unprotected: true, allowed: 'all' }))).toEqual(['unprotected']);
    expect(facts(edge(0, 1))).toEqual(['allowed']);
  });

  it('draws an edge as the weightiest of what is on', () => {
    const both = edge(0, 1, { seen: { ...seen, allowed: 4, denied: 1, staged: 2 } });
    expect(look(both, new Set(DEFAULT_LAYERS))).toBe('staged');
    expect(look(both, layersOf(['seen,denied']))).toBe('seen');
    expect(look(both, layersOf(['denied']))).toBe('denied');
    expect(look({ ...both, allowed: '' }, layersOf(['seen,denied']))).toBe('denied');
    expect(look(both, layersOf(['unused']))).toBeUndefined();
  });

  it('goes into the address and back', () => {
    expect(layersParam(new Set(DEFAULT_LAYERS))).toBeUndefined();
    expect(layersParam(new Set())).toBe('none');
    expect([...layersOf([layersParam(new Set())!])]).toEqual([]);
    const some = layersOf(['denied', 'seen']);
    expect(layersOf([layersParam(some)!])).toEqual(some);
  });
});

describe('scene', () => {
  const it_ = scene(shop);
  const seenNow = looks(it_, new Set(DEFAULT_LAYERS));

  it('folds edges of hubs, but none that were denied', () => {
    expect(seenNow.plain).toEqual([true, true, true, false, true]);
    expect(it_.badges[0]).toEqual([{ hub: 3, sign: 'D' }]);
    expect(it_.badges[3]).toEqual([]);
  });

  it('folds denied edges where they crowd, and says how many', () => {
    const denied = { allowed: '', seen: { ...seen, denied: 4 } };
    const prober = scene({
      ...map(
        [
          node('a/prober', 10, 10, { group: 0, crowded: 2 }),
          node('b/x', 310, 10, { group: 1, crowded: 1 }),
          node('b/y', 310, 60, { group: 1, crowded: 1 }),
          node('b/z', 310, 90, { group: 1 }),
        ],
        [
          edge(0, 3, { ...denied, cut: true }),
          edge(0, 2, { ...denied, crowded: true }),
          edge(0, 1, { ...denied, crowded: true }),
          edge(1, 3, { seen: { ...seen, allowed: 1, denied: 1 } }),
          edge(2, 3, { seen: { ...seen, allowed: 1 } }),
        ],
      ),
      groups: ['a', 'b'].map((name, index) => ({ name, x: index * 300, y: 0, w: 200, h: 200 })),
    });
    const folded = looks(prober, new Set(DEFAULT_LAYERS));
    expect(folded.plain).toEqual([true, false, false, true, true]);
    expect([folded.folded, folded.foldedAt, folded.foldedIn]).toEqual([2, [2, 1, 1, 0], [2, 2]]);
    expect(folded.bundles.map(({ count }) => count)).toEqual([1]);
    expect(nodeSentence(prober, folded, 0)).toContain('3 edges where all is denied, 2 of them folded');
    expect(edgeSentence(prober.map, prober.map.edges[0]!)).toContain('it worked before');
    expect([...lit(prober, folded, { node: 0 }).edges].sort()).toEqual([0, 1, 2]);
    const all = looks(prober, new Set(DEFAULT_LAYERS), true);
    expect([all.plain.every(Boolean), all.folded]).toEqual([true, 0]);
    const off = looks(prober, layersOf(['seen']));
    expect([off.folded, off.foldedAt]).toEqual([0, [0, 0, 0, 0]]);
  });

  it('marks what is allowed and was denied on other ports', () => {
    const both = { seen: { ...seen, allowed: 1, denied: 1 } };
    const two = scene(map([node('a/x', 0, 0), node('a/y', 300, 0)], [edge(0, 1, both), edge(1, 0)]));
    expect(looks(two, new Set(DEFAULT_LAYERS)).marked).toEqual([true, false]);
    expect(looks(two, layersOf(['seen'])).marked).toEqual([false, false]);
  });

  it('takes edges between namespaces together, and is as bad as the worst of them', () => {
    const groups = ['a', 'b'].map((name, index) => ({ name, x: index * 300, y: 0, w: 200, h: 200 }));
    const grouped = scene({
      ...map(
        [
          node('a/x', 10, 10, { group: 0 }),
          node('a/y', 10, 60, { group: 0 }),
          node('b/z', 310, 10, { group: 1 }),
        ],
        [edge(0, 2), edge(1, 2, { allowed: '', seen: { ...seen, denied: 1 } }), edge(0, 1)],
      ),
      groups,
    });
    const { bundles } = looks(grouped, new Set(DEFAULT_LAYERS));
    expect(bundles.map(({ count, layer }) => ({ count, layer }))).toEqual([{ count: 2, layer: 'denied' }]);
    expect([bundles[0]?.curve.x0, bundles[0]?.curve.x3]).toEqual([200, 300]);
  });

  it('lights up a node with its neighbours, folded ones too', () => {
    const around = lit(it_, seenNow, { node: 0 });
    expect([...around.nodes].sort()).toEqual([0, 1, 2, 3]);
    expect([...around.edges].sort()).toEqual([0, 2, 3]);
    expect([...lit(it_, seenNow, { edge: 1 }).nodes]).toEqual([1, 2]);
  });

  it('finds nodes and edges at a point', () => {
    expect(it_.grid.node(350, 50)).toBe(1);
    expect(it_.grid.node(200, 500)).toBeUndefined();
    const { x, y } = pointAt(it_.curves[1]!, 0.5);
    expect(it_.grid.edge(x, y + 2, 6, () => 0)).toBe(1);
    expect(it_.grid.edge(x, y + 2, 6, (index) => (index === 1 ? undefined : 0))).not.toBe(1);
    expect(it_.grid.edge(900, 500, 6, () => 0)).toBeUndefined();
  });

  it('finds the upper one of edges that run together, and the nearest of others', () => {
    // Two level edges, eight apart.
    const level = (y: number) => Array.from({ length: SAMPLES }, (_, at) => [at * 10, y]).flat();
    const grid = new Grid(
      { x: 0, y: 0, w: 200, h: 100 },
      [],
      Float32Array.from([...level(40), ...level(48)]),
    );
    const upper = (which: number) => (edge: number) => (edge === which ? 1 : 0);
    for (const which of [0, 1]) {
      expect(grid.edge(60, 44, 16, upper(which))).toBe(which);
      expect(grid.edge(60, 36, 16, upper(which))).toBe(0);
      expect(grid.edge(60, 55, 16, upper(which))).toBe(1);
    }
  });

  it('finds every edge where it is drawn', () => {
    it_.curves.forEach((curve, index) => {
      for (const t of [0.2, 0.4, 0.6, 0.8]) {
        const { x, y } = pointAt(curve, t);
        expect(it_.grid.edge(x, y, 8, (other) => (other === index ? 0 : undefined))).toBe(index);
      }
    });
  });

  it('walks to what is straight ahead', () => {
    expect(first(it_.boxes)).toBe(0);
    expect(step(it_.boxes, 0, 'right')).toBe(1);
    expect(step(it_.boxes, 1, 'right')).toBe(2);
    expect(step(it_.boxes, 1, 'down')).toBe(3);
    expect(step(it_.boxes, 0, 'left')).toBeUndefined();
  });

  it('finds by typing, beginnings first', () => {
    expect(find(shop.nodes, 'd')).toEqual([2, 3, 1, 0]);
    expect(find(shop.nodes, 'shop/')).toEqual([1]);
    expect(find(shop.nodes, '  ')).toEqual([]);
  });

  it('says what it draws', () => {
    expect(nodeSentence(it_, seenNow, 1)).toBe(
      'shop/backend, Deployment; 2 pods; connects to 1, connected to by 1.',
    );
    const open_ = scene(map([node('a/x', 0, 0, { ingress: false, egress: false })], []));
    expect(nodeSentence(open_, looks(open_, new Set()), 0)).toContain(
      'anybody may connect to it; it may connect anywhere',
    );
    expect(nodeSentence(it_, seenNow, 2)).toContain('2 edges where all is denied');
    expect(edgeSentence(shop, shop.edges[2]!)).toBe(
      'web/frontend to data/database; not allowed; seen 0, denied 3.',
    );
  });
});

describe('geometry', () => {
  const a = { x: 0, y: 0, w: 100, h: 24 };

  it('leaves and arrives at the sides that face each other', () => {
    const there = route(a, { x: 300, y: 80, w: 100, h: 24 });
    expect([there.x0, there.x3]).toEqual([100, 300]);
    const back = route({ x: 300, y: 80, w: 100, h: 24 }, a);
    expect([back.x0, back.x3]).toEqual([300, 100]);
    expect(back.y3).not.toBe(there.y0);
  });

  it('goes around where one is above the other', () => {
    const down = route(a, { x: 0, y: 100, w: 100, h: 24 });
    expect(down.x1).toBeGreaterThan(100);
    const up = route({ x: 0, y: 100, w: 100, h: 24 }, a);
    expect(up.x1).toBeLessThan(0);
    const box = bounds(up);
    for (const t of [0, 0.3, 0.7, 1]) {
      const { x, y } = pointAt(up, t);
      expect(x >= box.x && x <= box.x + box.w && y >= box.y && y <= box.y + box.h).toBe(true);
    }
  });
});
