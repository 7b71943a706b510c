import { defineConfig } from '@playwright/test';
import config from './playwright.config';

export default defineConfig({ ...config, testDir: 'e2e/lab', testIgnore: [], timeout: 120_000 });
