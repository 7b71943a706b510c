import { describe, expect, it } from 'vitest';
import { MAX_SCALE, MIN_SCALE, centre, fit, hold, pan, reveal, toWorld, visible, zoomAt } from './viewport';

const screen = { width: 800, height: 600 };

describe('viewport', () => {
  it('shows all of a box, in the middle, and does not blow up a small one', () => {
    const view = fit({ x: 100, y: 50, w: 1600, h: 400 }, screen, 0);
    expect(view.scale).toBe(0.5);
    expect(toWorld(view, 400, 300)).toEqual({ x: 900, y: 250 });
    expect(fit({ x: 0, y: 0, w: 10, h: 10 }, screen).scale).toBe(1.25);
  });

  it('keeps the point under the pointer when it zooms', () => {
    const view = { scale: 0.7, dx: -30, dy: 55 };
    const before = toWorld(view, 210, 340);
    const after = toWorld(zoomAt(view, 1.8, 210, 340), 210, 340);
    expect(after.x).toBeCloseTo(before.x);
    expect(after.y).toBeCloseTo(before.y);
  });

  it('has limits of zooming, and holds its place at them', () => {
    const view = { scale: MAX_SCALE, dx: 5, dy: 6 };
    expect(zoomAt(view, 3, 100, 100)).toEqual(view);
    expect(zoomAt({ scale: MIN_SCALE, dx: 5, dy: 6 }, 0.1, 100, 100).scale).toBe(MIN_SCALE);
  });

  it('moves as little as it takes to show a box', () => {
    const view = { scale: 1, dx: 0, dy: 0 };
    expect(reveal(view, screen, { x: 100, y: 100, w: 50, h: 20 }, 10)).toEqual(view);
    expect(reveal(view, screen, { x: 900, y: 100, w: 50, h: 20 }, 10)).toEqual({ scale: 1, dx: -160, dy: 0 });
    expect(reveal(view, screen, { x: -40, y: -30, w: 50, h: 20 }, 10)).toEqual({ scale: 1, dx: 50, dy: 40 });
  });

  it('never loses the world', () => {
    const world = { x: 0, y: 0, w: 1000, h: 1000 };
    const far = hold(pan({ scale: 1, dx: 0, dy: 0 }, 99_999, -99_999), screen, world, 80);
    const seen = visible(far, screen);
    expect(seen.x).toBe(-720);
    expect(seen.y).toBe(920);
  });

  it('puts a point in the middle', () => {
    expect(toWorld(centre({ scale: 2, dx: 0, dy: 0 }, screen, 33, 44), 400, 300)).toEqual({ x: 33, y: 44 });
  });
});
