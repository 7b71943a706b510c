import type { Page } from '@playwright/test';
import { accessible, expect, settled, test } from './support/test';
import { MapOnScreen } from './support/map';

const FRONTEND = 'web/frontend[Deployment]';
const BACKEND = 'shop/backend[Deployment]';
const PAYMENTS = 'shop/payments[Deployment]';
const DATABASE = 'data/database[StatefulSet]';
const DNS = 'kube-system/dns[Deployment]';

test.describe('map', () => {
  test('a node under the pointer is told, a click opens what is known of it', async ({
    page,
    open,
    picture,
  }) => {
    await open('#/map');
    const map = await MapOnScreen.read(page);
    const { x, y } = map.node(BACKEND);
    await page.mouse.move(x, y);
    await expect(
      page.getByText(/^shop\/backend, Deployment; 2 pods; connects to \d+, connected to by \d+/),
    ).toBeVisible();
    await picture('map-hover');
    await page.mouse.click(x, y);
    const drawer = page.getByRole('complementary', { name: 'shop/backend' });
    await expect(drawer.getByRole('button', { name: /data\/database/ })).toBeVisible();
    await expect(drawer.getByRole('link', { name: 'shop/backend-to-database' })).toBeVisible();
    await expect(page).toHaveURL(/select=shop%2Fbackend/);
    await picture('map-node');
  });

  test('a click on an edge shows its rules and its flows', async ({ page, open, picture }) => {
    await open('#/map');
    const map = await MapOnScreen.read(page);
    const { x, y } = map.edge(BACKEND, DATABASE);
    await page.mouse.click(x, y);
    const drawer = page.getByRole('complementary', { name: 'shop/backend → data/database' });
    await expect(drawer.getByText('allowed on TCP 5432')).toBeVisible();
    await expect(drawer.getByText(/database-from-backend/).first()).toBeVisible();
    await expect(drawer.getByRole('heading', { name: 'Flows' })).toBeVisible();
    await expect(drawer.getByRole('link', { name: 'All flows of this edge' })).toBeVisible();
    await picture('map-edge');
    await drawer.getByRole('button', { name: /Close/ }).click();
    await expect(drawer).toBeHidden();
    await expect(page).not.toHaveURL(/from=/);
  });

  test('denied connections to a hub are not folded away', async ({ page, open }) => {
    await open('#/map');
    const map = await MapOnScreen.read(page);
    const edge = map.map.edges.find((it) => it.from === map.index(PAYMENTS) && it.to === map.index(DNS));
    expect(edge?.seen?.denied).toBeGreaterThan(0);
    const { x, y } = map.edge(PAYMENTS, DNS);
    await page.mouse.move(x, y);
    await expect(
      page.getByText(/^shop\/payments to kube-system\/dns; not allowed; seen 0, denied \d+/),
    ).toBeVisible();
  });

  test('layers go on and off, and the address remembers', async ({ page, open }) => {
    await open('#/map?show=table');
    const table = page.getByRole('grid', { name: 'Edges of the map' });
    const denied = table.getByRole('row').filter({ hasText: 'Denied' }).filter({ hasText: 'shop/payments' });
    await expect(denied).not.toHaveCount(0);
    const layers = page.getByRole('group', { name: 'Layers' });
    await layers.getByRole('button', { name: 'Denied' }).click();
    await expect(denied).toHaveCount(0);
    await expect(page).toHaveURL(/layers=allowed%2Cseen%2Cstaged%2Cunprotected/);
    await page.reload();
    await expect(layers.getByRole('button', { name: 'Denied' })).toHaveAttribute('aria-pressed', 'false');
    await expect(denied).toHaveCount(0);
    for (const name of ['Allowed', 'Seen', 'Staged', 'Unprotected']) {
      await layers.getByRole('button', { name, exact: true }).click();
    }
    await expect(page.getByText('No edges')).toBeVisible();
    await layers.getByRole('button', { name: 'Never used' }).click();
    await expect(table.getByRole('row').filter({ hasText: 'Never used' })).not.toHaveCount(0);
  });

  test('the scope goes from namespaces to pods', async ({ page, open, picture }) => {
    await open('#/map');
    const scope = page.getByRole('slider', { name: 'Scope' });
    await scope.focus();
    await page.keyboard.press('ArrowLeft');
    await expect(page).toHaveURL(/scope=namespaces/);
    await settled(page);
    let map = await MapOnScreen.read(page);
    expect(map.map.nodes.map((node) => node.kind)).toContain('Namespace');
    await picture('map-namespaces');
    await scope.focus();
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowRight');
    await expect(page.getByRole('heading', { name: 'Pods of which namespace?' })).toBeVisible();
    await page.getByRole('button', { name: 'shop', exact: true }).click();
    await expect(page).toHaveURL(/namespace=shop/);
    await settled(page);
    map = await MapOnScreen.read(page);
    expect(map.map.nodes.filter((node) => node.kind === 'Pod').length).toBeGreaterThan(0);
    await picture('map-pods');
  });

  test('a namespace opens into its workloads, a workload into its neighbours', async ({ page, open }) => {
    await open('#/map?scope=namespaces');
    let map = await MapOnScreen.read(page);
    const shop = map.map.nodes.find((node) => node.name === 'shop')!;
    const { x, y } = map.node(shop.id);
    await page.mouse.dblclick(x, y);
    await expect(page).toHaveURL(/namespace=shop/);
    await settled(page);
    await open(`#/map?select=${encodeURIComponent(DATABASE)}`);
    await page.getByRole('button', { name: 'Show only its neighbours' }).click();
    await expect(page).toHaveURL(/focus=data%2Fdatabase/);
    await settled(page);
    map = await MapOnScreen.read(page);
    const names = map.map.nodes.map((node) => node.id);
    expect(names).toContain(BACKEND);
    expect(names).not.toContain(FRONTEND);
    await page.getByRole('button', { name: 'Remove the focus' }).click();
    await expect(page).not.toHaveURL(/focus=/);
  });

  test('typing finds a workload and brings it into view', async ({ page, open }) => {
    await open('#/map?at=-4000,-4000,3');
    const find = page.getByRole('combobox', { name: 'Find on the map' });
    await find.fill('paym');
    await expect(page.getByRole('option', { name: /shop\/payments/ })).toBeVisible();
    await find.press('Enter');
    await expect(page.getByRole('complementary', { name: 'shop/payments' })).toBeVisible();
    await expect(page).toHaveURL(/at=(?!-4000)/);
    const map = await MapOnScreen.read(page, 520);
    const { x, y } = map.node(PAYMENTS);
    expect(x).toBeGreaterThan(0);
    expect(x).toBeLessThan(1440 - 520);
    expect(y).toBeGreaterThan(100);
    expect(y).toBeLessThan(900);
    await find.fill('no such thing');
    await expect(page.getByText('Nothing on this map is called so.')).toBeVisible();
  });

  test('it is panned and zoomed by mouse, and the view is kept in the address', async ({ page, open }) => {
    await open('#/map');
    const before = await MapOnScreen.read(page);
    const start = before.node(BACKEND);
    await page.mouse.move(30, 400);
    await page.mouse.down();
    await page.mouse.move(80, 430, { steps: 4 });
    await page.mouse.move(130, 460, { steps: 4 });
    await page.mouse.up();
    await expect(page).toHaveURL(/at=/);
    const panned = (await MapOnScreen.read(page)).node(BACKEND);
    // The first few pixels tell a drag from a click.
    expect(panned.x - start.x).toBeGreaterThan(80);
    expect(panned.x - start.x).toBeLessThan(102);
    expect(panned.y - start.y).toBeGreaterThan(45);
    await page.mouse.move(panned.x, panned.y);
    await page.mouse.wheel(0, -300);
    await expect
      .poll(async () => Number(new URL(page.url()).hash.split('at=')[1]?.split('%2C')[2]?.split('&')[0]))
      .toBeGreaterThan(1.3);
    const zoomed = (await MapOnScreen.read(page)).node(BACKEND);
    expect(Math.abs(zoomed.x - panned.x)).toBeLessThan(6);
    await page.reload();
    await settled(page);
    await expect(async () => {
      await page.mouse.move(zoomed.x - 2, zoomed.y);
      await page.mouse.move(zoomed.x, zoomed.y);
      await expect(page.getByText(/^shop\/backend, Deployment/)).toBeVisible({ timeout: 500 });
    }).toPass();
    await page.getByRole('button', { name: 'Show everything' }).click();
    await expect(page).not.toHaveURL(/at=/);
  });

  test('the address says where one looks, whoever changes it', async ({ page, open }) => {
    await open('#/map');
    const whole = await MapOnScreen.read(page);
    const look = (id: string, scale: number) => {
      const { x, y, w, h } = whole.map.nodes[whole.index(id)]!;
      return `#/map?at=${Math.round(x + w / 2)},${Math.round(y + h / 2)},${scale}`;
    };
    const isThere = async (id: string, words: RegExp) => {
      const { x, y } = (await MapOnScreen.read(page)).node(id);
      await page.mouse.move(x - 2, y);
      await page.mouse.move(x, y);
      await expect(page.getByText(words)).toBeVisible();
      await page.mouse.move(5, 5);
    };
    const go = (hash: string) => page.evaluate((to) => (location.hash = to), hash);
    await go(look(DATABASE, 2.5));
    await isThere(DATABASE, /^data\/database, StatefulSet/);
    await go(look(FRONTEND, 1.5));
    await isThere(FRONTEND, /^web\/frontend, Deployment/);
    await page.goBack();
    await isThere(DATABASE, /^data\/database, StatefulSet/);
    await page.goBack();
    await expect(page).not.toHaveURL(/at=/);
    await isThere(PAYMENTS, /^shop\/payments, Deployment/);
    await page.goForward();
    await isThere(DATABASE, /^data\/database, StatefulSet/);
  });

  test('looking around asks the server for nothing', async ({ page, open }) => {
    let asked = 0;
    page.on('request', (request) => (asked += Number(/\/api\/v1\/map\b/.test(request.url()))));
    await open('#/map');
    const map = await MapOnScreen.read(page);
    const before = asked;
    const { x, y } = map.node(BACKEND);
    await page.mouse.move(x, y);
    await page.mouse.wheel(0, -200);
    await expect(page).toHaveURL(/at=/);
    await page.mouse.click(x, y);
    await expect(page.getByRole('complementary')).toBeVisible();
    await page.getByRole('group', { name: 'Layers' }).getByRole('button', { name: 'Denied' }).click();
    await expect(page).toHaveURL(/layers=/);
    await settled(page);
    expect(asked).toBe(before);
    await page.getByRole('combobox', { name: 'Namespace' }).selectOption('shop');
    await expect.poll(() => asked).toBe(before + 1);
  });

  test('the keyboard alone walks it', async ({ page, open }) => {
    await open('#/map');
    await page.getByRole('application').focus();
    const said = page.locator('main [role=status][aria-live=polite]');
    await page.keyboard.press('ArrowRight');
    await expect(said).toContainText(/connects to \d+/);
    const first = await said.textContent();
    await page.keyboard.press('ArrowRight');
    await expect(said).not.toHaveText(first ?? '');
    await page.keyboard.press('Enter');
    await expect(page).toHaveURL(/select=/);
    await expect(page.getByRole('complementary')).toBeVisible();
    await page.keyboard.press('Escape');
    await expect(page.getByRole('complementary')).toBeHidden();
    await page.getByRole('application').focus();
    await page.keyboard.press('+');
    await expect(page).toHaveURL(/at=/);
    const at = page.url();
    await page.keyboard.press('Shift+ArrowRight');
    await expect(page).not.toHaveURL(at);
    await page.keyboard.press('0');
    await expect(page).not.toHaveURL(/at=/);
  });

  test('a time is drawn over the history', async ({ page, open, picture }) => {
    await open('#/map');
    const brush = page.getByRole('region', { name: 'Time window' });
    const bars = (await brush.locator('canvas').boundingBox())!;
    await page.mouse.move(bars.x + bars.width * 0.2, bars.y + 20);
    await page.mouse.down();
    await page.mouse.move(bars.x + bars.width * 0.5, bars.y + 20, { steps: 5 });
    await page.mouse.up();
    await expect(page).toHaveURL(/since=\d{4}-.*until=\d{4}-/);
    await settled(page);
    await picture('map-time');
    const since = new URL(page.url()).hash;
    await brush.getByRole('slider', { name: 'Window begins' }).focus();
    await page.keyboard.press('ArrowLeft');
    await expect.poll(() => new URL(page.url()).hash).not.toBe(since);
    await brush.getByRole('button', { name: 'Last hour' }).click();
    await expect(page).not.toHaveURL(/since=/);
  });

  test('the table says the same as the map', async ({ page, open }) => {
    await open('#/map?show=table');
    const { map } = await (async () => {
      const answer = await page.request.get(new URL('api/v1/map?since=1h', page.url().split('#')[0]).href);
      return { map: (await answer.json()) as { edges: unknown[] } };
    })();
    const table = page.getByRole('grid', { name: 'Edges of the map' });
    await expect(table).toHaveAttribute('aria-rowcount', String(map.edges.length + 1));
    await table
      .getByRole('row')
      .filter({ hasText: 'shop/backend' })
      .filter({ hasText: 'data/database' })
      .click();
    await expect(page.getByRole('complementary', { name: 'shop/backend → data/database' })).toBeVisible();
  });

  test('what fits is fitted again when its room changes', async ({ page, open }) => {
    await open('#/map');
    await MapOnScreen.read(page);
    await page.setViewportSize({ width: 900, height: 500 });
    const map = await MapOnScreen.read(page);
    const { x, y } = map.node(DATABASE);
    await expect(async () => {
      await page.mouse.move(x - 2, y);
      await page.mouse.move(x, y);
      await expect(page.getByText(/^data\/database, StatefulSet/)).toBeVisible({ timeout: 500 });
    }).toPass();
  });

  test.describe('touched', () => {
    test.use({ hasTouch: true, viewport: { width: 390, height: 844 } });

    /** Fingers on the screen, from where to where. */
    async function slide(page: Page, fingers: { from: [number, number]; to: [number, number] }[]) {
      const session = await page.context().newCDPSession(page);
      const steps = 8;
      const points = (step: number) =>
        fingers.map(({ from, to }, id) => ({
          id,
          x: from[0] + ((to[0] - from[0]) * step) / steps,
          y: from[1] + ((to[1] - from[1]) * step) / steps,
        }));
      await session.send('Input.dispatchTouchEvent', { type: 'touchStart', touchPoints: points(0) });
      for (let step = 1; step <= steps; step += 1)
        await session.send('Input.dispatchTouchEvent', { type: 'touchMove', touchPoints: points(step) });
      await session.send('Input.dispatchTouchEvent', { type: 'touchEnd', touchPoints: [] });
    }

    test('a tap selects', async ({ page, open, picture }) => {
      await open('#/map');
      const map = await MapOnScreen.read(page);
      const { x, y } = map.node(DATABASE);
      await page.touchscreen.tap(x, y);
      await expect(page.getByRole('complementary', { name: 'data/database' })).toBeVisible();
      await settled(page);
      await picture('map-390-tapped');
      await page.getByRole('button', { name: /Close/ }).tap();
      await expect(page.getByRole('complementary')).toBeHidden();
      const edge = (await MapOnScreen.read(page)).edge('tools/debug[Deployment]', DATABASE);
      await page.touchscreen.tap(edge.x, edge.y);
      await expect(page.getByRole('complementary', { name: 'tools/debug → data/database' })).toBeVisible();
    });

    for (const [from, to, aside] of [
      [FRONTEND, DNS, 12],
      [FRONTEND, DNS, -8],
      ['tools/debug[Deployment]', DATABASE, 12],
      [PAYMENTS, 'outside 198.51.100.0/25', 14],
    ] as const) {
      test(`a tap ${aside} pixels beside ${from} → ${to} selects it`, async ({ page, open }) => {
        await open('#/map');
        const { x, y } = (await MapOnScreen.read(page)).edge(from, to);
        await page.touchscreen.tap(x, y + aside);
        await expect(page.getByRole('complementary')).toBeVisible();
        await settled(page);
        // Nothing of what opens below the finger is pressed by the same tap.
        const address = new URLSearchParams(new URL(page.url()).hash.split('?')[1]);
        expect([address.get('from'), address.get('to')]).toEqual([from, to]);
      });
    }

    test('what opens below a finger is not pressed by its tap', async ({ page, open }) => {
      await open('#/map');
      const { nodes } = (await MapOnScreen.read(page)).map;
      for (const { id } of nodes) {
        await page.goto('about:blank');
        await open('#/map');
        const { x, y } = (await MapOnScreen.read(page)).node(id);
        await page.touchscreen.tap(x, y);
        await expect(page.getByRole('complementary')).toBeVisible();
        await settled(page);
        expect(new URLSearchParams(new URL(page.url()).hash.split('?')[1]).get('select')).toBe(id);
      }
    });

    test('two taps show what is in a node', async ({ page, open }) => {
      await open('#/map?scope=namespaces');
      const map = await MapOnScreen.read(page);
      const { x, y } = map.node(map.map.nodes.find((node) => node.name === 'shop')!.id);
      await page.touchscreen.tap(x, y);
      await page.touchscreen.tap(x, y);
      await expect(page).toHaveURL(/namespace=shop/);
      await expect(page.getByRole('complementary')).toBeHidden();
    });

    test('one finger moves it, two zoom it, and neither selects', async ({ page, open }) => {
      await open('#/map');
      const before = (await MapOnScreen.read(page)).node(BACKEND);
      await slide(page, [{ from: [200, 400], to: [240, 460] }]);
      await expect(page).toHaveURL(/at=/);
      const moved = (await MapOnScreen.read(page)).node(BACKEND);
      expect(moved.x - before.x).toBeGreaterThan(25);
      expect(moved.y - before.y).toBeGreaterThan(40);
      const at = new URL(page.url()).hash;
      await slide(page, [
        { from: [moved.x, moved.y - 20], to: [moved.x, moved.y - 60] },
        { from: [moved.x, moved.y + 20], to: [moved.x, moved.y + 60] },
      ]);
      await expect.poll(() => new URL(page.url()).hash).not.toBe(at);
      const map = await MapOnScreen.read(page);
      const zoomed = map.node(BACKEND);
      expect(Math.abs(zoomed.x - moved.x)).toBeLessThan(12);
      expect(Math.abs(zoomed.y - moved.y)).toBeLessThan(12);
      expect(map.node(DATABASE).x - zoomed.x).toBeGreaterThan(2 * Math.abs(40));
      await expect(page.getByRole('complementary')).toBeHidden();
      await expect(page).not.toHaveURL(/select=|from=/);
    });
  });

  for (const scheme of ['light', 'dark'] as const) {
    test(`nobody is kept out: ${scheme}`, async ({ page, open, picture }) => {
      await page.emulateMedia({ colorScheme: scheme });
      await open('#/map');
      await accessible(page);
      await picture(`map-${scheme}`);
      await open(`#/map?from=${encodeURIComponent(BACKEND)}&to=${encodeURIComponent(DATABASE)}`);
      await expect(page.getByRole('complementary')).toBeVisible();
      await settled(page);
      await accessible(page);
      await open('#/map?show=table');
      await accessible(page);
    });
  }

  for (const [width, height] of [
    [1024, 768],
    [390, 844],
  ] as const) {
    test(`it fits ${width} × ${height}`, async ({ page, open, picture }) => {
      await page.setViewportSize({ width, height });
      await open('#/map');
      const map = await MapOnScreen.read(page);
      for (const { id } of map.map.nodes) {
        const { x, y } = map.node(id);
        expect(x > 0 && x < width && y > 0 && y < height, id).toBe(true);
      }
      await picture(`map-${width}`);
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
    });
  }
});
