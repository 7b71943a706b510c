// Three questions that somebody who has never seen podgate asks first; each is answered by looking and by clicking
// what one sees.
import { expect, settled, test } from './support/test';
import { MapOnScreen } from './support/map';

test('which pods reach the database?', async ({ page, open, picture }) => {
  await open('');
  await page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: 'Map' }).click();
  await settled(page);
  await picture('task-1-map');
  const map = await MapOnScreen.read(page);
  const { x, y } = map.node('data/database[StatefulSet]');
  await page.mouse.click(x, y);
  const drawer = page.getByRole('complementary', { name: 'data/database' });
  const callers = drawer
    .locator('section')
    .filter({ has: page.getByRole('heading', { name: /^Connected to by/ }) });
  const allowed = callers.getByRole('button').filter({ hasText: 'TCP 5432' });
  await expect(allowed).toHaveCount(1);
  await expect(allowed).toContainText('shop/backend');
  // Somebody else tried, and was denied.
  await expect(callers.getByRole('button').filter({ hasText: 'tools/debug' })).toContainText('denied');
  await picture('task-1-answer');
});

test('why does the payment service’s DNS fail?', async ({ page, open, picture }) => {
  await open('');
  const denials = page.getByRole('region', { name: 'Denials' });
  const line = denials
    .getByRole('listitem')
    .filter({ hasText: 'shop/payments' })
    .filter({ hasText: 'kube-system/dns' });
  await expect(line).toContainText('UDP 53');
  await picture('task-2-posture');
  await line.getByRole('link').click();
  const story = page.getByRole('complementary', { name: 'The flow’s story' });
  await expect(story.getByText(/default-deny/).first()).toBeVisible();
  await picture('task-2-story');
  await story.getByRole('link', { name: /On the map/ }).click();
  const why = page.getByRole('complementary', { name: 'shop/payments → kube-system/dns' });
  // The rule that was written for the backend alone, and what to write instead.
  await expect(why.getByRole('heading', { name: 'What would allow it' })).toBeVisible();
  await expect(why.getByText(/shop\/(default-deny|payments-to-provider|allow-dns)/).first()).toBeVisible();
  await picture('task-2-answer');
  await why.getByRole('button', { name: 'Try in what-if' }).first().click();
  const result = page.getByRole('region', { name: 'What it would do' });
  await expect(result.getByText('Opens', { exact: true })).toBeVisible();
  await expect(result.getByText(/payments/).first()).toBeVisible();
  await picture('task-2-mended');
});

test('what would deleting a policy open?', async ({ page, open, picture }) => {
  await open('');
  await page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: 'Policies' }).click();
  await page
    .getByRole('grid', { name: /^Policies/ })
    .getByRole('row')
    .filter({ hasText: 'data/database-from-backend' })
    .click();
  const drawer = page.getByRole('complementary', { name: 'data/database-from-backend' });
  await drawer.getByRole('button', { name: /delet/i }).click();
  await expect(page).toHaveURL(/#\/what-if\?draft=/);
  const result = page.getByRole('region', { name: 'What it would do' });
  await expect(result.getByText('Opens', { exact: true })).toBeVisible();
  await expect(result.getByText(/data\/database/).first()).toBeVisible();
  await picture('task-3-answer');
  await result.getByRole('link', { name: 'On the matrix' }).click();
  await expect(page.getByText(/\+ \d+ opened/)).toBeVisible();
  await settled(page);
  await picture('task-3-matrix');
});
