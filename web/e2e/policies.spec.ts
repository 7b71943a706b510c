import { accessible, expect, settled, test } from './support/test';

test.describe('policies', () => {
  test('each has its subjects, its rules with hits, its YAML', async ({ page, open, picture }) => {
    await open('#/policies');
    const list = page.getByRole('grid', { name: /^Policies/ });
    await page.getByRole('searchbox', { name: /^Narrow/ }).fill('database');
    await expect(list.getByRole('row')).toHaveCount(3);
    await list.getByRole('row').filter({ hasText: 'data/database-from-backend' }).click();
    const drawer = page.getByRole('complementary', { name: 'data/database-from-backend' });
    await expect(drawer.getByText('data/database').first()).toBeVisible();
    await expect(drawer.getByText(/5432/).first()).toBeVisible();
    await expect(drawer.getByText('kind: NetworkPolicy').first()).toBeVisible();
    await expect(page).toHaveURL(/#\/policies\/NetworkPolicy%2Fdata%2Fdatabase-from-backend/);
    await settled(page);
    await picture('policy');
    await accessible(page);
    await page.reload();
    await expect(drawer).toBeVisible();
  });

  test('staged ones and their numbers stand out', async ({ page, open }) => {
    await open('#/policies');
    const list = page.getByRole('grid', { name: /^Policies/ });
    await expect(list.getByRole('row').filter({ hasText: 'dns-from-known' })).toContainText('staged');
  });

  test('policies are recommended from what was seen, and opened in the what-if', async ({
    page,
    open,
    picture,
  }) => {
    await open('#/policies?tab=recommended');
    await settled(page);
    await picture('recommended');
    await page
      .getByRole('button', { name: /what-if/i })
      .first()
      .click();
    await expect(page).toHaveURL(/#\/what-if\?draft=/);
  });
});

test.describe('what-if', () => {
  test('an edit shows at once what it opens and which flows it would cut', async ({
    page,
    open,
    picture,
  }) => {
    await open('#/what-if');
    await page
      .getByRole('combobox', { name: 'Edit a policy' })
      .selectOption('NetworkPolicy/shop/backend-from-frontend');
    const editor = page.getByRole('textbox', { name: /^YAML of/ });
    await expect(editor).toContainText('backend-from-frontend');
    await editor.click();
    await page.keyboard.press('Control+a');
    await page.keyboard.insertText(`apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: backend-from-frontend
  namespace: shop
spec:
  podSelector:
    matchLabels:
      app: backend
  ingress: []
`);
    const result = page.getByRole('region', { name: 'What it would do' });
    await expect(result.getByText('Closes', { exact: true })).toBeVisible();
    await expect(result.getByRole('region', { name: 'Flows that were seen' })).toContainText(/cut \d+×/);
    await expect(result.getByRole('region', { name: 'Flows that were seen' })).toContainText('web/frontend');
    await picture('what-if-cut');
    await accessible(page);
    await expect(result.getByRole('link', { name: 'Download the patch' })).toBeVisible();
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      result.getByRole('link', { name: 'Download the patch' }).click(),
    ]);
    expect(download.suggestedFilename()).toBe('podgate.patch');
    await expect(page).toHaveURL(/draft=/);
    await page.reload();
    await expect(result.getByText('Closes', { exact: true })).toBeVisible();
    await result.getByRole('link', { name: 'On the matrix' }).click();
    await expect(page.getByText(/^With the draft of the what-if: − \d+ closed/)).toBeVisible();
  });

  test('YAML that can’t be read is marked where it is wrong', async ({ page, open }) => {
    await open('#/what-if');
    await page.getByRole('button', { name: 'New policy' }).click();
    const editor = page.getByRole('textbox', { name: /^YAML of/ });
    await editor.click();
    await page.keyboard.press('Control+a');
    await page.keyboard.insertText(`apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: wrong
  namespace: shop
spec:
  podSelector: {}
  ingres: []
`);
    const result = page.getByRole('region', { name: 'What it would do' });
    await expect(result.getByText(/ingres/).first()).toBeVisible();
    await expect(result.getByText('line 8')).toBeVisible();
    await expect(page.locator('.cm-lintRange')).not.toHaveCount(0);
  });

  test('completion knows fields, and labels that exist', async ({ page, open, picture }) => {
    await open('#/what-if');
    await page.getByRole('button', { name: 'New policy' }).click();
    const editor = page.getByRole('textbox', { name: /^YAML of/ });
    await editor.click();
    await page.keyboard.press('Control+a');
    await page.keyboard.insertText(`apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: new
  namespace: shop
spec:
  podSelector:
    matchLabels:
      app: `);
    await page.keyboard.press('Control+Space');
    const options = page.locator('.cm-tooltip-autocomplete');
    await expect(options.getByText('payments')).toBeVisible();
    await picture('what-if-completion');
    await page.keyboard.type('pay');
    await page.keyboard.press('Enter');
    await expect(editor).toContainText('app: payments');
  });
});
