import { defineConfig } from '@playwright/test';
import base from '../playwright.config';

// The pictures of the readme: scripts/screenshots.
export default defineConfig({
  ...base,
  testDir: '.',
  testMatch: 'screenshots.ts',
  outputDir: '../test-results',
  use: { ...base.use, viewport: { width: 1280, height: 800 }, colorScheme: 'light' },
});
