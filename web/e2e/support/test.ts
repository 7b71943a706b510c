// What every test has: a server with the shop, a page that must stay quiet, and ways to point at canvases.
import AxeBuilder from '@axe-core/playwright';
import { test as base, expect, type Page } from '@playwright/test';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { serve, type Server } from './server';
import { writeShop } from './shop';

interface Shared {
  /** A server with the shop and its flows. */
  shop: Server;
}

interface Each {
  /** Fails when the page complains, or asks another origin for anything. */
  quiet: { expect: (complaint: RegExp) => void };
  /** Opens an address of the page, such as `#/map`. */
  open: (hash: string) => Promise<void>;
  /** Keeps a picture to look at. */
  picture: (name: string) => Promise<void>;
}

/** Where pictures go. */
export const PICTURES =
  process.env['PODGATE_PICTURES'] ?? join(import.meta.dirname, '../../test-results/pictures');

export const test = base.extend<Each, Shared>({
  shop: [
    async ({}, use) => {
      const files = writeShop();
      const server = await serve(files.dir, ['shop', '--input-file', 'flows.jsonl']);
      await use(server);
      await server.stop();
      files.remove();
    },
    { scope: 'worker' },
  ],
  quiet: [
    async ({ page }, use) => {
      const complaints: string[] = [];
      const expected: RegExp[] = [];
      page.on('console', (message) => {
        if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
      });
      page.on('pageerror', (failure) => complaints.push(`${failure.name}: ${failure.message}`));
      const origins = new Set<string>();
      page.on('request', (request) => origins.add(new URL(request.url()).origin));
      page.on('response', (response) => {
        if (response.status() >= 400) complaints.push(`${response.status()} ${response.url()}`);
      });
      await use({ expect: (complaint) => expected.push(complaint) });
      expect(complaints.filter((text) => !expected.some((one) => one.test(text)))).toEqual([]);
      expect(origins.size, [...origins].join(' ')).toBeLessThanOrEqual(1);
    },
    { auto: true },
  ],
  open: async ({ page, shop }, use) => {
    await use(async (hash) => {
      await page.goto(`${shop.url}/${hash}`);
      await expect(page.getByRole('navigation', { name: 'Views' })).toBeVisible();
      await settled(page);
    });
  },
  picture: async ({ page }, use) => {
    await use(async (name) => {
      mkdirSync(PICTURES, { recursive: true });
      await page.screenshot({ path: join(PICTURES, `${name}.png`), animations: 'disabled' });
    });
  },
});

export { expect };

/** Waits until nothing says that it is loading. */
export async function settled(page: Page): Promise<void> {
  await expect(page.locator('main').getByText(/^(Loading|Laying out|Filling in|Asking)/)).toHaveCount(0);
}

/** Nothing that axe knows of keeps people out. */
export async function accessible(page: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  const told = violations.map(
    (it) =>
      `${it.id}: ${it.help}: ${it.nodes.map((node) => `${node.target.join(' ')} ${node.failureSummary}`).join('; ')}`,
  );
  expect(told).toEqual([]);
}
