// Where things of the map are on screen: computed as the page computes it, from the same answer.
import { expect, type Page } from '@playwright/test';
import type { MapView } from '../../src/api/types';
import { centre, fit, type Viewport } from '../../src/canvas/viewport';
import { pointAt, route } from '../../src/map/geometry';

export class MapOnScreen {
  private constructor(
    readonly page: Page,
    readonly map: MapView,
    private readonly left: number,
    private readonly top: number,
    private readonly view: Viewport,
  ) {}

  /** Reads what the page shows now: its address, and the server's answer to the same question. */
  static async read(page: Page, drawer = 0): Promise<MapOnScreen> {
    const canvas = page.getByRole('application');
    await expect(canvas).toBeVisible();
    const box = (await canvas.boundingBox())!;
    const search = new URLSearchParams((await page.evaluate(() => location.hash)).split('?')[1] ?? '');
    const query = new URLSearchParams({
      scope: search.get('scope') ?? 'workloads',
      edges: search.get('edges') === 'all' ? '50000' : '500',
      since: search.get('since') ?? '1h',
    });
    const until = search.get('until');
    if (until !== null) query.set('until', until);
    for (const name of ['namespace', 'focus'])
      for (const value of search.getAll(name)) query.append(name, value);
    const answer = await page.request.get(new URL(`api/v1/map?${query}`, page.url().split('#')[0]).href);
    expect(answer.ok(), await answer.text()).toBe(true);
    const map = (await answer.json()) as MapView;
    const room = { width: box.width - drawer, height: box.height };
    const at = search.get('at')?.split(',').map(Number);
    const view =
      at === undefined
        ? fit({ x: 0, y: 0, w: map.width, h: map.height }, room)
        : centre({ scale: 1, dx: 0, dy: 0 }, room, at[0]!, at[1]!, at[2]!);
    return new MapOnScreen(page, map, box.x, box.y, view);
  }

  index(id: string): number {
    const index = this.map.nodes.findIndex((node) => node.id === id);
    expect(
      index,
      `${id} is on the map: ${this.map.nodes.map((node) => node.id).join(', ')}`,
    ).toBeGreaterThanOrEqual(0);
    return index;
  }

  node(id: string): { x: number; y: number } {
    const node = this.map.nodes[this.index(id)]!;
    return this.screen(node.x + node.w / 2, node.y + node.h / 2);
  }

  /** A point of an edge, at t from 0 to 1. */
  edge(from: string, to: string, t = 0.5): { x: number; y: number } {
    const a = this.map.nodes[this.index(from)]!;
    const b = this.map.nodes[this.index(to)]!;
    const { x, y } = pointAt(route(a, b), t);
    return this.screen(x, y);
  }

  private screen(x: number, y: number): { x: number; y: number } {
    return {
      x: this.left + x * this.view.scale + this.view.dx,
      y: this.top + y * this.view.scale + this.view.dy,
    };
  }
}
