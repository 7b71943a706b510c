import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from '@playwright/test';
import type { MatrixView } from '../src/api/types';
import { CELL, frameIn } from '../src/matrix/layout';
import { serve } from './support/server';
import { writeShop } from './support/shop';
import { accessible, expect, settled, test } from './support/test';

const BACKEND = 'shop/backend[Deployment]';
const PAYMENTS = 'shop/payments[Deployment]';
const DATABASE = 'data/database[StatefulSet]';
const DNS = 'kube-system/dns[Deployment]';
const DEBUG = 'tools/debug[Deployment]';

async function answer(page: Page): Promise<MatrixView> {
  const response = await page.request.get(new URL('api/v1/matrix', page.url().split('#')[0]).href);
  return (await response.json()) as MatrixView;
}

/** Where a cell is when nothing is folded, filtered or scrolled. */
async function cell(page: Page, from: string, to: string): Promise<{ x: number; y: number }> {
  const matrix = await answer(page);
  // Groups stand in the order in which they first come.
  const groups = [...new Set(matrix.parties.map((party) => party.namespace))];
  const order = [...matrix.parties].sort((a, b) => groups.indexOf(a.namespace) - groups.indexOf(b.namespace));
  const at = (id: string) => order.findIndex((party) => party.id === id);
  expect(at(from), from).toBeGreaterThanOrEqual(0);
  expect(at(to), to).toBeGreaterThanOrEqual(0);
  const box = (await page.getByRole('application').boundingBox())!;
  const { left, top, column } = frameIn(box.width, box.height, order.length);
  return { x: box.x + left + (at(to) + 0.5) * column, y: box.y + top + (at(from) + 0.5) * CELL };
}

test.describe('matrix', () => {
  test('a cell under the pointer is read out, a click says why', async ({ page, open, picture }) => {
    await open('#/matrix');
    const { x, y } = await cell(page, BACKEND, DATABASE);
    await page.mouse.move(x, y);
    await expect(
      page.getByText(
        /^shop\/backend to data\/database: allowed on TCP 5432\. Seen: TCP 5432: \d+ let through/,
      ),
    ).toBeVisible();
    await picture('matrix-hover');
    await page.mouse.click(x, y);
    const drawer = page.getByRole('complementary', { name: 'shop/backend → data/database' });
    await expect(drawer.getByText(/database-from-backend/).first()).toBeVisible();
    await expect(page).toHaveURL(/from=shop%2Fbackend.*to=data%2Fdatabase/);
    await picture('matrix-why');
  });

  test('a cell that is looked into is not below the drawer', async ({ page, open, picture }) => {
    await page.setViewportSize({ width: 1100, height: 800 });
    const outside = 'outside 198.51.100.0/25';
    await open(`#/matrix?from=${encodeURIComponent(PAYMENTS)}&to=${encodeURIComponent(outside)}`);
    const drawer = page.getByRole('complementary', { name: 'shop/payments → 198.51.100.0/25' });
    await expect(drawer.getByText('allowed on TCP 443')).toBeVisible();
    const matrix = page.getByRole('application');
    const { x } = await cell(page, PAYMENTS, outside);
    const edge = (await drawer.boundingBox())!.x;
    expect(x).toBeGreaterThan(edge);
    await expect
      .poll(async () => x - (await matrix.evaluate((it) => it.scrollLeft)), 'it is scrolled there')
      .toBeLessThan(edge);
    await picture('matrix-beside-drawer');
    await drawer.getByRole('button', { name: 'Close' }).click();
    await expect.poll(() => matrix.evaluate((it) => it.scrollLeft)).toBe(0);
  });

  test('the keyboard alone walks it, and Enter says why', async ({ page, open }) => {
    await open('#/matrix');
    const matrix = page.getByRole('application');
    await matrix.focus();
    const said = page.locator('main [role=status][aria-live=polite]');
    await page.keyboard.press('ArrowDown');
    await expect(said).toContainText(' to ');
    const first = await said.textContent();
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowDown');
    await expect(said).not.toHaveText(first ?? '');
    await page.keyboard.press('Enter');
    await expect(page.getByRole('complementary')).toBeVisible();
    await page.keyboard.press('Escape');
    await expect(page.getByRole('complementary')).toBeHidden();
    await expect(matrix).toBeFocused();
  });

  test('lines, columns, port and verdict filter it', async ({ page, open }) => {
    await open('#/matrix');
    const size = (name: RegExp) => page.getByRole('application', { name });
    await page.getByRole('searchbox', { name: /^Columns/ }).fill('database');
    await expect(size(/ by 1 columns/)).toBeVisible();
    await page.getByRole('searchbox', { name: /^Lines/ }).fill('shop/');
    await expect(size(/, 2 lines by 1 columns/)).toBeVisible();
    await page.getByRole('searchbox', { name: 'Port' }).fill('5432');
    await page.getByRole('combobox', { name: 'Verdict' }).selectOption('allowed');
    await expect(size(/, 1 lines by 1 columns/)).toBeVisible();
    await expect(page).toHaveURL(/columns=database&lines=shop%2F&port=5432&verdict=allowed/);
    await page.reload();
    await expect(size(/, 1 lines by 1 columns/)).toBeVisible();
    await page.getByRole('searchbox', { name: 'Port' }).fill('UDP/5432');
    await expect(page.getByText('No cell fits')).toBeVisible();
    await page.getByRole('button', { name: 'Show everything' }).click();
    const all = (await answer(page)).parties.length;
    await expect(size(new RegExp(`, ${all} lines`))).toBeVisible();
    await page.getByRole('searchbox', { name: 'Port' }).fill('http');
    await expect(page.getByRole('searchbox', { name: 'Port' })).toHaveAttribute('aria-invalid', 'true');
  });

  test('namespaces fold and unfold', async ({ page, open, picture }) => {
    await open('#/matrix');
    const groups = new Set((await answer(page)).parties.map((party) => party.namespace)).size;
    await page.getByRole('button', { name: 'Fold all' }).click();
    await expect(
      page.getByRole('application', { name: new RegExp(`, ${groups} lines by ${groups} columns`) }),
    ).toBeVisible();
    await picture('matrix-folded');
    await page.getByRole('application').focus();
    await page.keyboard.press('Home');
    await page.keyboard.press('Enter');
    await expect(page).toHaveURL(/unfold=(?!none)/);
    await page.getByRole('button', { name: 'Unfold all' }).click();
    await expect(page).not.toHaveURL(/unfold=/);
  });

  test('a cell that the address asks for is scrolled to, whoever changes it', async ({ page, open }) => {
    await page.setViewportSize({ width: 1000, height: 420 });
    await open('#/matrix');
    const box = page.getByRole('application');
    const scrolled = () => box.evaluate((it) => it.scrollTop);
    const { parties, rows } = await answer(page);
    const lines = parties.filter((_, index) => rows[index] !== null).map(({ id }) => id);
    const go = (from: string, to: string) =>
      page.evaluate((hash) => (location.hash = hash), `#/matrix?${new URLSearchParams({ from, to })}`);
    await go(lines[0]!, lines[1]!);
    await expect(page.getByRole('complementary')).toBeVisible();
    expect(await scrolled()).toBe(0);
    await go(lines[lines.length - 1]!, lines[1]!);
    await expect.poll(scrolled).toBeGreaterThan(0);
    await page.goBack();
    await expect.poll(scrolled).toBe(0);
  });

  test('it is asked for again only when it may have changed', async ({ page }) => {
    const files = writeShop();
    const server = await serve(files.dir, ['shop', '--input-file', 'flows.jsonl']);
    try {
      await page.clock.install();
      let asked = 0;
      page.on('request', (request) => (asked += Number(/\/api\/v1\/matrix\b/.test(request.url()))));
      await page.goto(`${server.url}/#/matrix`);
      await expect(page.getByRole('application')).toBeVisible();
      expect(asked).toBe(1);
      // Neither time alone nor what only this page works out.
      await page.clock.runFor(95_000);
      await page.getByRole('searchbox', { name: /^Columns/ }).fill('database');
      await page.getByRole('combobox', { name: 'Verdict' }).selectOption('partly');
      await page.getByRole('application').focus();
      await page.keyboard.press('ArrowDown');
      await page.keyboard.press('Enter');
      await expect(page.getByRole('complementary')).toBeVisible();
      await settled(page);
      await page.clock.runFor(35_000);
      expect(asked).toBe(1);
      // The first flows leave the window of the last hour.
      await page.clock.fastForward('20:00');
      await expect.poll(() => asked).toBe(2);
      // Other policies.
      rmSync(join(files.dir, 'shop/policies/50-backend-to-database.yaml'));
      await expect.poll(() => asked).toBe(3);
      // Another window.
      await page.getByRole('combobox', { name: 'Time window' }).selectOption('6h');
      await expect.poll(() => asked).toBe(4);
      await settled(page);
      await page.clock.fastForward('20:00');
      await page.clock.runFor(35_000);
      expect(asked).toBe(4);
    } finally {
      await server.stop();
      files.remove();
    }
  });

  test('two sets of policies are compared cell by cell', async ({ page, open, picture }) => {
    await open('#/matrix');
    await page
      .getByRole('combobox', { name: 'Compare with the policies' })
      .selectOption('NetworkPolicy/data/database-from-backend');
    await expect(
      page.getByText(/^Without NetworkPolicy\/data\/database-from-backend: \+ \d+ opened/),
    ).toBeVisible();
    const { x, y } = await cell(page, DEBUG, DATABASE);
    await page.mouse.move(x, y);
    await expect(
      page.getByText(/^tools\/debug to data\/database: denied on all ports\. The change: opened/),
    ).toBeVisible();
    await picture('matrix-compare');
    await page.getByRole('button', { name: 'Show only these' }).click();
    await expect(page).toHaveURL(/verdict=changed/);
    await page.reload();
    await expect(page.getByText(/\+ \d+ opened/)).toBeVisible();
    await page.getByRole('button', { name: 'Look closer in What-if' }).click();
    await expect(page).toHaveURL(/#\/what-if\?draft=/);
  });

  test('a line of it is a table', async ({ page, open }) => {
    await open(`#/matrix?show=table&from=${encodeURIComponent(PAYMENTS)}&to=${encodeURIComponent(DNS)}`);
    const table = page.getByRole('grid', { name: 'Where shop/payments may connect' });
    await expect(table.getByRole('row').filter({ hasText: 'kube-system/dns' })).toContainText('denied');
    await expect(table.getByRole('row').filter({ hasText: 'kube-system/dns' })).toContainText('UDP 53');
    await expect(page.getByRole('complementary', { name: 'shop/payments → kube-system/dns' })).toBeVisible();
  });

  for (const scheme of ['light', 'dark'] as const) {
    test(`nobody is kept out: ${scheme}`, async ({ page, open, picture }) => {
      await page.emulateMedia({ colorScheme: scheme });
      await open('#/matrix');
      await accessible(page);
      await picture(`matrix-${scheme}`);
      await open(`#/matrix?from=${encodeURIComponent(BACKEND)}&to=${encodeURIComponent(DATABASE)}`);
      await settled(page);
      await accessible(page);
      await open('#/matrix?show=table');
      await accessible(page);
    });
  }

  for (const [width, height] of [
    [1024, 768],
    [390, 844],
  ] as const) {
    test(`it fits ${width} × ${height}`, async ({ page, open, picture }) => {
      await page.setViewportSize({ width, height });
      await open('#/matrix');
      await picture(`matrix-${width}`);
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
    });
  }
});
