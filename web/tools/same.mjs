// Builds the page again elsewhere and compares it with web/dist, byte by byte: what is committed is what the sources say.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const root = fileURLToPath(new URL('..', import.meta.url));
const committed = join(root, 'dist');
const fresh = mkdtempSync(join(tmpdir(), 'podgate-web-'));

function files(dir) {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(dir, join(entry.parentPath ?? entry.path, entry.name)))
    .sort();
}

try {
  await build({ root, logLevel: 'error', build: { outDir: fresh, emptyOutDir: true } });
  const names = new Set([...files(committed), ...files(fresh)]);
  const differ = [...names].filter((name) => {
    try {
      return !readFileSync(join(committed, name)).equals(readFileSync(join(fresh, name)));
    } catch {
      return true;
    }
  });
  if (differ.length > 0) {
    console.error(`web/dist is not what its sources build: ${differ.join(', ')}`);
    console.error('Build it and commit it: make web');
    process.exitCode = 1;
  } else {
    console.log(`web/dist is what its sources build: ${names.size} files`);
  }
} finally {
  rmSync(fresh, { recursive: true });
}
