import { freeAddress, relay, serve } from './support/server';
import { writeShop } from './support/shop';
import { accessible, expect, settled, test } from './support/test';

const VIEWS = ['Posture', 'Map', 'Matrix', 'Flows', 'Policies', 'What-if'] as const;

test.describe('the page', () => {
  test('opens with posture, and its numbers lead to their lists', async ({ page, open, picture }) => {
    await open('');
    const tiles = page.getByRole('region', { name: 'At a glance' });
    await expect(tiles.getByText('protected: incoming')).toBeVisible();
    await picture('posture');
    const denials = page.getByRole('region', { name: 'Denials' });
    await expect(denials.getByText(/shop\/payments.*kube-system\/dns/).first()).toBeVisible();
    await tiles.getByRole('button', { name: /connections denied/ }).click();
    await expect(page).toHaveURL(/list=denials/);
    await page
      .getByRole('region', { name: 'Namespaces' })
      .getByRole('link', { name: 'shop', exact: true })
      .click();
    await expect(page).toHaveURL(/#\/map\?namespace=shop/);
    await settled(page);
    await page.goBack();
    await expect(page).toHaveURL(/list=denials/);
    await expect(tiles).toBeVisible();
  });

  test('each view is a link away, and back leads back', async ({ page, open }) => {
    await open('');
    const views = page.getByRole('navigation', { name: 'Views' });
    for (const name of VIEWS) {
      await views.getByRole('link', { name }).click();
      await expect(views.getByRole('link', { name })).toHaveAttribute('aria-current', 'page');
      await expect(page).toHaveTitle(new RegExp(`^${name}`));
      await settled(page);
    }
    await page.goBack();
    await expect(views.getByRole('link', { name: 'Policies' })).toHaveAttribute('aria-current', 'page');
  });

  test('the keyboard alone walks from view to view', async ({ page, open }) => {
    await open('');
    await page.keyboard.press('Tab');
    await expect(page.getByRole('link', { name: 'Skip to the view' })).toBeFocused();
    for (let presses = 0; presses < 3; presses += 1) {
      await page.keyboard.press('Tab');
      if (await page.getByRole('link', { name: 'Map' }).evaluate((link) => link === document.activeElement))
        break;
    }
    await expect(page.getByRole('link', { name: 'Map', exact: true })).toBeFocused();
    await page.keyboard.press('Enter');
    await expect(page).toHaveURL(/#\/map/);
    await settled(page);
    // Everything that can be reached shows that it has been.
    const seen = new Set<string>();
    for (let presses = 0; presses < 60; presses += 1) {
      await page.keyboard.press('Tab');
      const focused = await page.evaluate(() => {
        const it = document.activeElement;
        if (!(it instanceof HTMLElement) || it === document.body) return undefined;
        const name = it.getAttribute('aria-label') ?? it.textContent?.trim() ?? '';
        const { outlineStyle, outlineWidth } = getComputedStyle(it);
        return { name: `${it.tagName} ${name}`, visible: outlineStyle !== 'none' && outlineWidth !== '0px' };
      });
      if (focused === undefined) break;
      expect(focused.visible, `${focused.name} shows that it is focused`).toBe(true);
      seen.add(focused.name);
    }
    expect(
      [...seen].some((name) => /^DIV Map of \d+ nodes/.test(name)),
      [...seen].join(', '),
    ).toBe(true);
    expect(seen.size).toBeGreaterThan(12);
  });

  test('workloads and policies are found by typing', async ({ page, open }) => {
    await open('#/flows');
    await page.keyboard.press('Control+k');
    const find = page.getByRole('combobox', { name: /Find a workload/ });
    await expect(find).toBeFocused();
    await find.fill('datab');
    await page
      .getByRole('option', { name: /data\/database/ })
      .first()
      .click();
    await expect(page).toHaveURL(/#\/map\?select=data%2Fdatabase/);
    await expect(page.getByRole('complementary', { name: 'data/database' })).toBeVisible();
    await page.keyboard.press('Control+k');
    await find.fill('payments-to-provider');
    await page.keyboard.press('Enter');
    await expect(page).toHaveURL(/#\/policies\/.*payments-to-provider/);
  });

  test('light and dark are a choice that stays', async ({ page, open }) => {
    await page.emulateMedia({ colorScheme: 'light' });
    await open('');
    const dark = () => page.evaluate(() => document.documentElement.dataset['theme']);
    expect(await dark()).toBe('light');
    const button = page.getByRole('button', { name: /^Theme/ });
    for (let clicks = 0; clicks < 3 && (await dark()) !== 'dark'; clicks += 1) await button.click();
    expect(await dark()).toBe('dark');
    await page.reload();
    expect(await dark()).toBe('dark');
  });

  test('a view that does not exist leads to posture, a cut link is said to be cut', async ({
    page,
    open,
  }) => {
    await open('#/nowhere/at/all?x=1');
    await expect(page.getByRole('link', { name: 'Posture' })).toHaveAttribute('aria-current', 'page');
    await open('#/what-if?draft=abc');
    await expect(page.getByRole('heading', { name: 'This link is damaged' })).toBeVisible();
  });

  test('a server that is away is said, and what is there stays', async ({ page, open, quiet }) => {
    quiet.expect(/Failed to load resource|ERR_/);
    await open('#/matrix');
    await page.route('**/api/**', (route) => route.abort());
    await page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: 'Policies' }).click();
    await expect(page.getByText(/The server does not answer/)).toBeVisible();
    await page.unroute('**/api/**');
    // The page may try again by itself before anybody clicks.
    await expect(async () => {
      const again = page.getByRole('button', { name: 'Try again' });
      if (await again.isVisible()) await again.click();
      await expect(page.getByRole('grid', { name: /^Policies/ })).toBeVisible({ timeout: 2000 });
    }).toPass();
  });

  test('a view that fails says so, and the others stay', async ({ page, open, quiet }) => {
    quiet.expect(/./);
    await open('');
    const list = /\/api\/v1\/policies(\?|$)/;
    await page.route(list, (route) => route.fulfill({ json: { policies: [null] } }));
    const views = page.getByRole('navigation', { name: 'Views' });
    await views.getByRole('link', { name: 'Policies' }).click();
    await expect(page.getByRole('heading', { name: 'This view failed' })).toBeVisible();
    await page.unroute(list);
    await page.getByRole('button', { name: 'Try again' }).click();
    await expect(page.getByRole('grid', { name: /^Policies/ })).toBeVisible();
  });

  test('flows that do not come are said to be missing, wherever one looks', async ({ page, picture }) => {
    const files = writeShop();
    const [away, at] = [await freeAddress(), await freeAddress()];
    const asked = await relay(at, away);
    const server = await serve(files.dir, ['shop', '--server', at]);
    try {
      const banner = page.getByRole('complementary', { name: 'Flows missing' });
      const badge = page.getByRole('status').filter({ hasText: 'flows missing' });
      await page.goto(`${server.url}/#/flows`);
      await expect(banner).toContainText(`the relay can't hear ${away} (Connection refused)`);
      await expect(badge).toBeVisible();
      await expect(page.getByText('not all that happens comes here now')).toBeVisible();
      await expect(page.getByText('nothing lost')).toHaveCount(0);
      await expect(page.getByText(/None came here in the time window/)).toBeVisible();
      await expect(page.getByText(/● live/)).toHaveCount(0);
      await page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: 'Map' }).click();
      await settled(page);
      await expect(banner).toBeVisible();
      await accessible(page);
      await picture('flows-missing');
      // The relay itself is gone, then there again.
      await asked.stop();
      await expect(banner).toContainText(at, { timeout: 20_000 });
      await expect(banner).not.toContainText(away);
      await expect(banner).toContainText('podgate tries again by itself.');
      await expect(banner).not.toContainText('os error');
      const again = await relay(at, away);
      await expect(banner).toContainText(away, { timeout: 20_000 });
      await again.stop();
    } finally {
      await server.stop();
      await asked.stop();
      files.remove();
    }
  });

  for (const scheme of ['light', 'dark'] as const) {
    for (const hash of ['#/posture', '#/flows', '#/policies', '#/what-if']) {
      test(`nobody is kept out of ${hash}: ${scheme}`, async ({ page, open, picture }) => {
        await page.emulateMedia({ colorScheme: scheme });
        await open(hash);
        await accessible(page);
        await picture(`${hash.slice(2)}-${scheme}`);
      });
    }
  }

  for (const [width, height] of [
    [1024, 768],
    [390, 844],
  ] as const) {
    test(`every view fits ${width} × ${height}`, async ({ page, open, picture }) => {
      await page.setViewportSize({ width, height });
      for (const hash of ['#/posture', '#/flows', '#/policies', '#/what-if']) {
        await open(hash);
        expect(await page.evaluate(() => document.documentElement.scrollWidth), hash).toBeLessThanOrEqual(
          width,
        );
        // Tables of numbers may be moved sideways; that of flows is read as it is.
        const whole = hash === '#/flows' ? 'nav a, th' : 'nav a';
        const cut = await page
          .locator(whole)
          .evaluateAll((them) =>
            them.filter((it) => it.getBoundingClientRect().right > innerWidth).map((it) => it.textContent),
          );
        expect(cut, `${hash}: nothing of these is off screen`).toEqual([]);
        await picture(`${hash.slice(2)}-${width}`);
      }
    });
  }
});
