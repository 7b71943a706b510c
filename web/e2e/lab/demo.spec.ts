// What `make demo` leaves on the page: real packets in a lab, and the questions that somebody asks who has never seen
// podgate. Needs root for the lab: PODGATE_SUDO is what gets it, empty for root itself.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { binary } from '../support/server';
import { MapOnScreen } from '../support/map';
import { accessible, expect, settled, test as base } from '../support/test';

const run = promisify(execFile);

/** Runs podgate as root. Returns what it printed. */
async function podgate(...args: string[]): Promise<string> {
  const [command, ...rest] = [
    ...(process.env['PODGATE_SUDO'] ?? '').split(' ').filter((word) => word !== ''),
    binary(),
    ...args,
  ];
  const { stdout } = await run(command as string, rest, { env: { ...process.env, NO_COLOR: '1' } });
  return stdout;
}

interface Demo {
  url: string;
  /** Where its manifests are. */
  dir: string;
  name: string;
}

const test = base.extend<{ go: (hash: string) => Promise<void> }, { demo: Demo }>({
  demo: [
    async ({}, use) => {
      const dir = mkdtempSync(join(tmpdir(), 'podgate-e2e-'));
      const name = `e2e-${process.pid}`;
      try {
        const told = await podgate(
          ...['demo', '--keep', '--name', name, '--dir', dir, '--ui', '127.0.0.1:0'],
        );
        const url = /http:\/\/[\d.:]+/.exec(told)?.[0];
        if (url === undefined) throw new Error(`the demo serves no page: ${told}`);
        await use({ url, dir, name });
      } finally {
        await podgate('lab', 'down', '--name', name);
        rmSync(dir, { recursive: true });
      }
    },
    { scope: 'worker', timeout: 120_000 },
  ],
  go: async ({ page, demo }, use) => {
    await use(async (hash) => {
      await page.goto(`${demo.url}/${hash}`);
      await expect(page.getByRole('navigation', { name: 'Views' })).toBeVisible();
      await settled(page);
    });
  },
});

test('which pods reach the database?', async ({ page, go, picture }) => {
  await go('#/map');
  const map = await MapOnScreen.read(page);
  const { x, y } = map.node('data/database[StatefulSet]');
  await page.mouse.click(x, y);
  const drawer = page.getByRole('complementary', { name: 'data/database' });
  const callers = drawer
    .locator('section')
    .filter({ has: page.getByRole('heading', { name: /^Connected to by/ }) });
  const allowed = callers.getByRole('button').filter({ hasText: 'TCP 5432' });
  await expect(allowed).toContainText(['shop/backend']);
  await picture('demo-1-database');
});

test('each cell of the matrix opens, with what policy says, what was seen and what was probed', async ({
  page,
  go,
  picture,
}) => {
  // Every workload of the demo has its cells; those with many pods were probed from each.
  const [web, shop] = ['web/frontend[Deployment]', 'shop/backend[Deployment]'];
  await go(`#/matrix?from=${encodeURIComponent(web)}&to=${encodeURIComponent(shop)}`);
  const drawer = page.getByRole('complementary', { name: 'web/frontend → shop/backend' });
  const measured = drawer.locator('dt', { hasText: 'Measured' }).locator('xpath=following-sibling::dd[1]');
  await expect(measured).toContainText('TCP 9000: came through');
  await expect(measured).toContainText('ICMP: did not come through');
  await expect(measured.locator('div')).toHaveCount(3);
  await picture('demo-4-cell');
});

test('the map shows the application, and says what it folds', async ({ page, go, picture }) => {
  await go('#/map');
  const map = await MapOnScreen.read(page);
  const crowded = map.map.edges.filter((edge) => edge.crowded).length;
  expect(crowded).toBeGreaterThan(10);
  // The demo's last step deletes the rule for DNS: that worked before, and stays in sight.
  const edge = (from: string, to: string) =>
    map.map.edges.find((it) => it.from === map.index(from) && it.to === map.index(to));
  const lost = edge('shop/payments[Deployment]', 'kube-system/dns[Deployment]');
  expect([lost?.cut, lost?.crowded ?? false]).toEqual([true, false]);
  const { x, y } = map.edge('shop/payments[Deployment]', 'kube-system/dns[Deployment]');
  await page.mouse.move(x, y);
  await expect(page.getByText(/not allowed; seen \d+, denied \d+; it worked before/)).toBeVisible();
  const note = page.getByText(`${crowded} denied edges folded`);
  await expect(note).toBeVisible();
  await picture('demo-0-map');
  await page.getByRole('button', { name: 'Draw all' }).click();
  await expect(page).toHaveURL(/denied=all/);
  await expect(note).toBeHidden();
  await picture('demo-0-map-all');
  await page.getByRole('button', { name: 'Fold them' }).click();
  await expect(note).toBeVisible();
  await page.getByRole('button', { name: 'Table', exact: true }).click();
  // Nothing is folded for those who read it.
  await expect(page.getByRole('grid', { name: 'Edges of the map' })).toHaveAttribute(
    'aria-rowcount',
    String(map.map.edges.length + 1),
  );
});

test('why does the payment service’s DNS fail?', async ({ page, go, picture }) => {
  await go('#/posture');
  // What worked before comes first.
  const first = page.getByRole('region', { name: 'Denials' }).getByRole('listitem').first();
  await expect(first).toContainText('kube-system/dns');
  await expect(first).toContainText('worked before');
  await picture('demo-2-posture');
  await page.getByRole('combobox', { name: 'Who connects' }).fill('shop/payments');
  await page.getByRole('combobox', { name: 'To whom' }).fill('kube-system/dns');
  await page.getByRole('textbox', { name: /^Port/ }).fill('UDP/53');
  await page.getByRole('button', { name: 'Ask why' }).click();
  const why = page.getByRole('complementary');
  await expect(why.getByText('shop/default-deny').first()).toBeVisible();
  await expect(why.getByRole('heading', { name: 'What would allow it' })).toBeVisible();
  await picture('demo-2-answer');
});

test('what would deleting a policy open?', async ({ page, go, picture }) => {
  await go('#/policies');
  await page
    .getByRole('grid', { name: /^Policies/ })
    .getByRole('row')
    .filter({ hasText: 'data/default-deny' })
    .click();
  const drawer = page.getByRole('complementary', { name: 'data/default-deny' });
  await drawer.getByRole('button', { name: /delet/i }).click();
  const result = page.getByRole('region', { name: 'What it would do' });
  // Nobody else says where the database may connect to.
  await expect(result.getByText('Opens', { exact: true })).toBeVisible();
  await expect(result.getByText(/data\/database/).first()).toBeVisible();
  await picture('demo-3-answer');
});

test('probes and flows are beside what policy says, and agree', async ({ page, go, picture }) => {
  await go('#/posture');
  await expect(page.getByText(/probed .* ago|probed just now/)).toBeVisible();
  await expect(page.getByText('disagreements').first()).toBeVisible();
  await accessible(page);
  await go('#/matrix');
  await picture('demo-4-matrix');
});

test('a flow and an edited manifest are there as soon as they happen', async ({
  page,
  go,
  demo,
  picture,
}) => {
  await go('#/flows');
  await expect(page.getByText('live').first()).toBeVisible();
  await podgate(
    'lab',
    'probe',
    '--name',
    demo.name,
    '--from',
    'shop/payments',
    '--to',
    'data/database',
  ).catch(() => undefined);
  const rows = page.getByRole('grid').getByRole('row');
  await expect(
    rows.filter({ hasText: 'shop/payments-0' }).filter({ hasText: 'data/database-0' }).first(),
  ).toBeVisible();
  await picture('demo-5-flows');
  await go('#/policies');
  const policy = (name: string) =>
    page
      .getByRole('grid', { name: /^Policies/ })
      .getByRole('row')
      .filter({ hasText: name });
  await expect(policy('shop/one-more')).toHaveCount(0);
  writeFileSync(
    join(demo.dir, 'policies', 'one-more.yaml'),
    'apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: one-more, namespace: shop}\n' +
      'spec: {podSelector: {matchLabels: {app: payments}}, policyTypes: [Ingress], ingress: []}\n',
  );
  await expect(policy('shop/one-more')).toHaveCount(1);
});

test('a manifest that is broken keeps its policies in force, and the page says which line', async ({
  page,
  go,
  demo,
  picture,
}) => {
  const file = join(demo.dir, 'policies', '50-backend-to-database.yaml');
  const whole = readFileSync(file, 'utf8');
  const line = whole.split('\n').findIndex((text) => text.startsWith('spec:')) + 1;
  expect(line).toBeGreaterThan(0);
  await go('#/policies');
  const policy = page
    .getByRole('grid', { name: /^Policies/ })
    .getByRole('row')
    .filter({ hasText: 'shop/backend-to-database' });
  await expect(policy).toHaveCount(1);
  await go('#/posture');
  const problems = page.getByRole('region', { name: 'Input that could not be read' });
  await expect(problems).toBeHidden();
  try {
    writeFileSync(file, whole.replace(/^spec:/m, 'spec: {'));
    await expect(problems).toBeVisible();
    await expect(problems.getByText(/50-backend-to-database\.yaml:\d+:\d+/).first()).toBeVisible();
    const told = await problems
      .getByText(/50-backend-to-database\.yaml:/)
      .first()
      .textContent();
    const [, at] = /yaml:(\d+):/.exec(told ?? '') ?? [];
    expect(Number(at)).toBeGreaterThanOrEqual(line);
    await expect(problems.getByText('what it said before stays in force')).toBeVisible();
    await accessible(page);
    await picture('demo-6-broken');
    await page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: 'Policies' }).click();
    await expect(policy).toHaveCount(1);
    // Packets are treated as before: the probe fails where they aren't.
    const probe = ['lab', 'probe', '--name', demo.name, '--to', 'data/database', '--from'];
    expect(await podgate(...probe, 'shop/backend')).toMatch(/[1-9]\d* allowed/);
    expect(await podgate(...probe, 'shop/payments')).toMatch(/\b0 allowed/);
  } finally {
    writeFileSync(file, whole);
  }
  await go('#/posture');
  await expect(problems).toBeHidden();
});
