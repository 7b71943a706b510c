import { defineConfig } from '@playwright/test';

// The system's browser: nothing is downloaded. It only runs as root without its sandbox.
const executablePath = process.env['PODGATE_CHROMIUM'] ?? '/usr/bin/chromium';
const args = process.getuid?.() === 0 ? ['--no-sandbox'] : [];

export default defineConfig({
  testDir: 'e2e',
  // Of labs, which need root: see lab.config.ts.
  testIgnore: 'lab/**',
  outputDir: 'test-results',
  // Each file has servers of its own; machines that test are small.
  workers: 1,
  fullyParallel: false,
  forbidOnly: true,
  timeout: 60_000,
  expect: { timeout: 15_000 },
  reporter: [['list']],
  use: {
    browserName: 'chromium',
    launchOptions: { executablePath, args },
    viewport: { width: 1440, height: 900 },
    locale: 'en-GB',
    timezoneId: 'UTC',
    screenshot: 'only-on-failure',
  },
});
