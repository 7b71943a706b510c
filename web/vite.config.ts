import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  plugins: [svelte()],
  // The page may be served below any path.
  base: './',
  build: {
    target: 'es2022',
    // The content security policy lets no data: address through.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    // What others wrote goes along with their licences.
    license: { fileName: 'licenses.md' },
    // e2e and the size check find the editor and the views by these names.
    rollupOptions: { output: { entryFileNames: 'assets/[name]-[hash].js' } },
  },
  server: { proxy: { '/api': process.env['PODGATE'] ?? 'http://127.0.0.1:7462' } },
  test: {
    // Files that need a document say so: // @vitest-environment jsdom
    environment: 'node',
    include: ['src/**/*.test.ts'],
  },
  // Svelte's browser build, in tests too.
  resolve: process.env['VITEST'] ? { conditions: ['browser'] } : {},
});
