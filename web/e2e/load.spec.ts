// How it feels with a large cluster: what is measured is printed and written to a file, and compared with nothing.
import { test as base, type CDPSession, type Page } from '@playwright/test';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { MapOnScreen } from './support/map';
import { writeLarge, type Large } from './support/large';
import { serve } from './support/server';
import { expect, PICTURES, settled } from './support/test';

const WORKLOADS = Number(process.env['PODGATE_LOAD_WORKLOADS'] ?? 1000);
const MATRIX_WORKLOADS = Number(process.env['PODGATE_LOAD_MATRIX_WORKLOADS'] ?? 2000);
const RESULT = process.env['PODGATE_LOAD_RESULT'] ?? join(import.meta.dirname, '../test-results/load.md');

interface Line {
  what: string;
  value: string;
}

/** Does something, and waits for the frame after it. */
async function timed(page: Page, act: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await act();
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  return performance.now() - begin;
}

/** How long frames take while something goes on: the middle and the worst. */
async function frames(page: Page, act: () => Promise<unknown>): Promise<{ middle: number; worst: number }> {
  await page.evaluate(() => {
    const lengths: number[] = [];
    let last = performance.now();
    let on = true;
    const tick = (now: number) => {
      lengths.push(now - last);
      last = now;
      if (on) requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
    Object.assign(window, {
      stopFrames: () => {
        on = false;
        return lengths;
      },
    });
  });
  await act();
  const lengths = await page.evaluate(() =>
    (window as unknown as { stopFrames: () => number[] }).stopFrames(),
  );
  lengths.sort((a, b) => a - b);
  return { middle: lengths[Math.floor(lengths.length / 2)] ?? 0, worst: lengths[lengths.length - 1] ?? 0 };
}

/** What JavaScript holds. */
async function heap(session: CDPSession): Promise<number> {
  await session.send('HeapProfiler.collectGarbage');
  // What typed arrays hold is beside the heap.
  const { usedSize, backingStorageSize } = await session.send('Runtime.getHeapUsage');
  return usedSize + backingStorageSize;
}

const ms = (value: number) => `${Math.round(value)} ms`;
const mib = (value: number) => `${(value / 1024 / 1024).toFixed(1)} MiB`;

/** Prints what was measured, and writes it to a file. */
function report(path: string, large: Large, lines: readonly Line[]): void {
  const text = [
    `${large.workloads} workloads, ${large.policies} policies, Chromium at 1440 × 900:`,
    '',
    '| what | measured |',
    '| --- | --- |',
    ...lines.map(({ what, value }) => `| ${what} | ${value} |`),
    '',
  ].join('\n');
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  console.log(text);
}

base('a thousand workloads', async ({ page }) => {
  base.setTimeout(300_000);
  const large = writeLarge(WORKLOADS);
  const server = await serve(large.dir, ['.']);
  const lines: Line[] = [];
  const say = (what: string, value: string) => lines.push({ what, value });
  const failures: string[] = [];
  page.on('pageerror', (failure) => failures.push(failure.message));
  try {
    const session = await page.context().newCDPSession(page);
    const ready = async () => {
      await expect(page.getByRole('application')).toBeVisible({ timeout: 120_000 });
      await settled(page);
    };
    const first = await timed(page, async () => {
      await page.goto(`${server.url}/#/map?edges=all`);
      await ready();
    });
    const map = await MapOnScreen.read(page);
    expect(map.map.nodes.length).toBeGreaterThanOrEqual(WORKLOADS);
    const label = await page.getByRole('application').getAttribute('aria-label');
    say('map: from nothing to drawn, the server’s first answer included', ms(first));
    say('map: what is drawn', label ?? '');
    say('map: JavaScript heap', mib(await heap(session)));
    mkdirSync(PICTURES, { recursive: true });
    await page.screenshot({ path: join(PICTURES, 'load-map.png') });

    const box = (await page.getByRole('application').boundingBox())!;
    const middle = { x: box.x + box.width / 2, y: box.y + box.height / 2 };
    const panning = await frames(page, async () => {
      await page.mouse.move(middle.x, middle.y);
      await page.mouse.down();
      for (let step = 0; step < 40; step += 1) {
        await page.mouse.move(middle.x + 200 * Math.sin(step / 6), middle.y + 100 * Math.cos(step / 6));
      }
      await page.mouse.up();
    });
    say(
      'map: a frame while it is dragged, all of it in view',
      `${ms(panning.middle)}, at worst ${ms(panning.worst)}`,
    );
    const zooming = await frames(page, async () => {
      for (let step = 0; step < 20; step += 1) await page.mouse.wheel(0, -100);
    });
    say('map: a frame while it is zoomed', `${ms(zooming.middle)}, at worst ${ms(zooming.worst)}`);
    const hovering = await frames(page, async () => {
      for (let step = 0; step < 40; step += 1)
        await page.mouse.move(middle.x - 300 + 15 * step, middle.y + 3 * step);
    });
    say(
      'map: a frame while the pointer moves over it',
      `${ms(hovering.middle)}, at worst ${ms(hovering.worst)}`,
    );
    const target = map.map.nodes.find((node) => node.kind === 'Deployment' && node.name === 'app-07')!;
    const finding = await timed(page, async () => {
      await page.getByRole('combobox', { name: 'Find on the map' }).fill(`${target.namespace}/app-07`);
      await page.getByRole('combobox', { name: 'Find on the map' }).press('Enter');
      await expect(page.getByRole('complementary')).toBeVisible();
    });
    say('map: find by typing, pan there, drawer open', ms(finding));
    await page.screenshot({ path: join(PICTURES, 'load-map-found.png') });

    const matrix = await timed(page, async () => {
      await page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: 'Matrix' }).click();
      await ready();
    });
    say('matrix: opened', ms(matrix));
    const unfolding = await timed(page, () => page.getByRole('button', { name: 'Unfold all' }).click());
    await expect(page.getByRole('application', { name: new RegExp(`${WORKLOADS}|\\d{4}`) })).toBeVisible();
    say('matrix: all namespaces unfolded', ms(unfolding));
    const scrolling = await frames(page, async () => {
      await page.mouse.move(middle.x, middle.y);
      for (let step = 0; step < 30; step += 1) await page.mouse.wheel(step % 2 === 0 ? 300 : 0, 400);
    });
    say('matrix: a frame while it is scrolled', `${ms(scrolling.middle)}, at worst ${ms(scrolling.worst)}`);
    const filtering = await timed(page, () => page.getByRole('searchbox', { name: 'Port' }).fill('8003'));
    say('matrix: asked about one port', ms(filtering));
    say('matrix: JavaScript heap', mib(await heap(session)));
    await page.screenshot({ path: join(PICTURES, 'load-matrix.png') });
    expect(failures).toEqual([]);
  } finally {
    await server.stop();
    large.remove();
  }
  report(RESULT, large, lines);
});

base('a matrix of two thousand workloads', async ({ page }) => {
  base.setTimeout(300_000);
  const large = writeLarge(MATRIX_WORKLOADS);
  const server = await serve(large.dir, ['.']);
  const lines: Line[] = [];
  const say = (what: string, value: string) => lines.push({ what, value });
  const failures: string[] = [];
  page.on('pageerror', (failure) => failures.push(failure.message));
  try {
    for (const which of ['first', 'later']) {
      const begin = performance.now();
      const answer = await page.request.get(`${server.url}/api/v1/matrix`);
      const size = (await answer.body()).byteLength;
      say(`the server’s ${which} answer`, `${ms(performance.now() - begin)}, ${mib(size)}`);
    }
    const session = await page.context().newCDPSession(page);
    const canvas = page.getByRole('application');
    const cells = await timed(page, async () => {
      await page.goto(`${server.url}/#/matrix?unfold=all`);
      await expect(canvas).toBeVisible({ timeout: 120_000 });
      await settled(page);
    });
    say('from nothing to the first cells, all namespaces unfolded', ms(cells));
    const label = (await canvas.getAttribute('aria-label')) ?? '';
    // The internet comes along.
    expect(label).toBe(`Matrix, ${MATRIX_WORKLOADS + 1} lines by ${MATRIX_WORKLOADS + 1} columns`);
    say('what is drawn', label);
    say('JavaScript heap', mib(await heap(session)));
    const box = (await canvas.boundingBox())!;
    await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
    const scrolling = await frames(page, async () => {
      for (let step = 0; step < 60; step += 1) await page.mouse.wheel(step % 2 === 0 ? 900 : 0, 700);
    });
    say('a frame while it is scrolled', `${ms(scrolling.middle)}, at worst ${ms(scrolling.worst)}`);
    const far = await page.evaluate(() => {
      const scrolled = [...document.querySelectorAll('*')].find((it) => it.scrollTop > 1000);
      return [scrolled?.scrollLeft ?? 0, scrolled?.scrollTop ?? 0];
    });
    expect(Math.min(...far)).toBeGreaterThan(10_000);
    const hovering = await frames(page, async () => {
      for (let step = 0; step < 40; step += 1)
        await page.mouse.move(box.x + 300 + 15 * step, box.y + 200 + 8 * step);
    });
    say('a frame while the pointer moves over it', `${ms(hovering.middle)}, at worst ${ms(hovering.worst)}`);
    const port = await timed(page, () => page.getByRole('searchbox', { name: 'Port' }).fill('8003'));
    say('asked about one port', ms(port));
    const verdict = await timed(page, () =>
      page.getByRole('combobox', { name: 'Verdict' }).selectOption('allowed'),
    );
    say('only lines and columns where something is allowed', ms(verdict));
    say('JavaScript heap after all of this', mib(await heap(session)));
    await page.screenshot({ path: join(PICTURES, 'load-matrix-2000.png') });
    expect(failures).toEqual([]);
  } finally {
    await server.stop();
    large.remove();
  }
  report(RESULT.replace(/(\.md)?$/, '-matrix.md'), large, lines);
});
