import { accessible, expect, settled, test } from './support/test';

test.describe('flows', () => {
  test('are filtered by facets and by typing, and the address has it', async ({ page, open, picture }) => {
    await open('#/flows');
    const table = page.getByRole('grid', { name: 'Flows, newest first' });
    await expect(table.getByRole('row').nth(1)).toBeVisible();
    await picture('flows-all');
    await page
      .getByRole('complementary', { name: 'Facets' })
      .getByRole('button', { name: /denied/ })
      .click();
    await expect(page).toHaveURL(/verdict=denied/);
    await expect(table.getByText('allowed')).toHaveCount(0);
    await expect(table.getByRole('row').nth(1)).toContainText('denied');
    const add = page.getByRole('combobox', { name: /^Add a filter/ });
    await add.fill('to-port:53');
    await add.press('Enter');
    await expect(page).toHaveURL(/[?&]to-port=53/);
    await expect(table.getByRole('row').nth(1)).toContainText('shop/payments');
    await expect(page.getByText(/flows of \d+/)).toBeVisible();
    await page.reload();
    await settled(page);
    await expect(table.getByRole('row').nth(1)).toContainText('UDP 53');
    await page.getByRole('button', { name: /^Remove .*to-port/ }).click();
    await expect(page).not.toHaveURL(/port=/);
    await add.fill('nonsense');
    await add.press('Enter');
    await expect(page.getByRole('alert')).toContainText('Write a filter and its value');
  });

  test('a row tells its story with the policies', async ({ page, open, picture }) => {
    await open('#/flows?verdict=denied&to-port=53');
    const table = page.getByRole('grid', { name: 'Flows, newest first' });
    await table.getByRole('row').nth(1).click();
    const drawer = page.getByRole('complementary', { name: 'The flow’s story' });
    await expect(drawer.getByText(/default-deny/).first()).toBeVisible();
    await expect(drawer.getByRole('heading', { name: /^Told with/ })).toBeVisible();
    await expect(page).toHaveURL(/#\/flows\/[0-9a-f-]{36}\?/);
    await picture('flows-story');
    await accessible(page);
    await page.reload();
    await expect(drawer.getByText(/default-deny/).first()).toBeVisible();
    await drawer.getByRole('link', { name: /On the map/ }).click();
    await expect(page).toHaveURL(/#\/map\?from=shop%2Fpayments/);
    await expect(page.getByRole('complementary', { name: 'shop/payments → kube-system/dns' })).toBeVisible();
  });

  test('rows are walked with the keyboard', async ({ page, open }) => {
    await open('#/flows');
    const table = page.getByRole('grid', { name: 'Flows, newest first' });
    await table.getByRole('row').nth(1).focus();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await expect(page.getByRole('complementary', { name: 'The flow’s story' })).toBeVisible();
    await page.keyboard.press('Escape');
    await expect(page.getByRole('complementary', { name: 'The flow’s story' })).toBeHidden();
    await expect(page).not.toHaveURL(/#\/flows\/./);
  });

  test('they pause and resume, and are copied as a command', async ({ page, open, context }) => {
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    await open('#/flows?verdict=denied');
    await page.getByRole('button', { name: 'Pause' }).click();
    await expect(page.getByText('paused', { exact: true })).toBeVisible();
    await expect(page).toHaveURL(/live=off/);
    await page.getByRole('button', { name: 'Resume' }).click();
    await expect(page).not.toHaveURL(/live=off/);
    await page.getByRole('button', { name: 'Copy as CLI' }).click();
    await expect(page.getByText(/^podgate observe/)).toBeVisible();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toMatch(
      /podgate observe.*--verdict[ =]denied/,
    );
  });

  test('a time window that is chosen goes along to other views', async ({ page, open }) => {
    await open('#/flows?since=10m');
    const count = async () =>
      Number(
        /([\d,]+) flows?/
          .exec(
            (await page
              .getByText(/\d+ flows?/)
              .first()
              .textContent()) ?? '',
          )?.[1]
          ?.replaceAll(',', ''),
      );
    const few = await count();
    await page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: 'Map' }).click();
    await expect(page).toHaveURL(/#\/map\?since=10m/);
    await open('#/flows?since=1h');
    // The rows of the window before stay until the new ones are there.
    await expect.poll(count).toBeGreaterThan(few);
  });
});
