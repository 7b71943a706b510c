import { describe, expect, it } from 'vitest';
import type { MapNode, MapView } from '../api/types';
import { fit, toWorld } from '../canvas/viewport';
import { beginning } from './beginning';

const group = { name: 'shop', x: 0, y: 0, w: 10, h: 10 };

/** A map of so many nodes in so many namespaces. */
function map(nodes: number, groups: number): MapView {
  return {
    revision: 1,
    scope: 'workloads',
    width: 1500,
    height: 600,
    groups: Array<typeof group>(groups).fill(group),
    nodes: Array<MapNode>(nodes).fill({} as MapNode),
    edges: [],
    moreEdges: 0,
  };
}

describe('where one looks first', () => {
  const world = { x: -10, y: -20, w: 1500, h: 600 };
  const phone = { width: 390, height: 500 };
  const desk = { width: 1400, height: 800 };

  it('shows all of it where there is room', () => {
    expect(beginning({ map: map(8, 4), world }, desk)).toEqual(fit(world, desk));
  });

  it('shows the left end of a small map on a small screen at a scale at which names can be read', () => {
    const view = beginning({ map: map(8, 4), world }, phone);
    expect(view.scale).toBeGreaterThan(fit(world, phone).scale * 2);
    const { x, y } = toWorld(view, 0, 0);
    expect(x).toBeLessThan(world.x);
    expect(x).toBeGreaterThan(world.x - 50);
    // It is less high than the screen: in the middle of it.
    expect(y + phone.height / view.scale / 2).toBeCloseTo(world.y + world.h / 2);
    const low = beginning({ map: map(8, 4), world }, { width: 390, height: 200 });
    expect(toWorld(low, 0, 0).y).toBeGreaterThan(world.y - 50);
  });

  it('shows all of a large map, and of one without namespaces to draw from afar', () => {
    expect(beginning({ map: map(200, 20), world }, phone)).toEqual(fit(world, phone));
    expect(beginning({ map: map(8, 1), world }, phone)).toEqual(fit(world, phone));
  });
});
