// Takes the pictures of the readme from a real server, and keeps them small.
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { MapOnScreen } from './support/map';
import { ROOT } from './support/server';
import { expect, settled, test } from './support/test';

const IMAGES = join(ROOT, 'docs/images');
const MOST = 200 * 1024;

const PICTURES = [
  { name: 'posture', hash: '' },
  { name: 'map', hash: '#/map?select=data%2Fdatabase%5BStatefulSet%5D' },
  {
    name: 'matrix',
    hash: '#/matrix?from=shop%2Fpayments%5BDeployment%5D&to=kube-system%2Fdns%5BDeployment%5D',
  },
  { name: 'flows', hash: '#/flows?verdict=denied' },
  { name: 'what-if', hash: '#/policies/NetworkPolicy%2Fdata%2Fdatabase-from-backend' },
];

for (const { name, hash } of PICTURES) {
  test(name, async ({ page, open }) => {
    // Rows of text make large pictures.
    if (name === 'flows') await page.setViewportSize({ width: 1280, height: 600 });
    await open(hash);
    if (name === 'map') await MapOnScreen.read(page);
    if (name === 'what-if') {
      await page.getByRole('button', { name: 'What if it were deleted?' }).click();
      await expect(
        page.getByRole('region', { name: 'What it would do' }).getByText('Opens', { exact: true }),
      ).toBeVisible();
    }
    await settled(page);
    // Frames that were asked for have been drawn.
    await page.waitForTimeout(300);
    mkdirSync(IMAGES, { recursive: true });
    const path = join(IMAGES, `${name}.png`);
    await page.screenshot({ path, animations: 'disabled' });
    expect(statSync(path).size, `${path} is small enough for a readme`).toBeLessThan(MOST);
  });
}
