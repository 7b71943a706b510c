// Budgets of what the page loads, gzip: the first load, the editor, and all of dist.
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const KIB = 1024;
const BUDGETS = { first: 120 * KIB, editor: 150 * KIB, whole: 1024 * KIB };
const dist = fileURLToPath(new URL('../dist', import.meta.url));

const packed = (path) => gzipSync(readFileSync(path), { level: 9 }).length;
const files = readdirSync(dist, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
  .sort();

// What index.html names, and what those files import without waiting for anything.
const first = new Set([join(dist, 'index.html')]);
for (const match of readFileSync(join(dist, 'index.html'), 'utf8').matchAll(/(?:src|href)="\.\/([^"]+)"/g)) {
  first.add(join(dist, match[1]));
}
follow(first);
// What the editor needs besides.
const editor = new Set(files.filter((path) => /[/\\]editor-[^/\\]*\.js$/.test(path)));
follow(editor);

/** Adds what a set's files import without waiting for anything. */
function follow(set) {
  for (const path of set) {
    if (!path.endsWith('.js')) continue;
    for (const match of readFileSync(path, 'utf8').matchAll(
      /(?:from|import)\s*["'`](\.\/[^"'`]+\.js)["'`]/g,
    )) {
      set.add(join(path, '..', match[1]));
    }
  }
}

const sums = {
  first: [...first].reduce((sum, path) => sum + packed(path), 0),
  editor: [...editor].filter((path) => !first.has(path)).reduce((sum, path) => sum + packed(path), 0),
  whole: files.reduce((sum, path) => sum + readFileSync(path).length, 0),
};
for (const path of files) {
  const name = relative(dist, path);
  console.log(
    `${(packed(path) / KIB).toFixed(1).padStart(8)} KiB gzip  ${name}${first.has(path) ? '  (first load)' : ''}`,
  );
}
let over = false;
for (const [name, sum] of Object.entries(sums)) {
  const fits = sum <= BUDGETS[name];
  over ||= !fits;
  console.log(`${name}: ${(sum / KIB).toFixed(1)} of ${BUDGETS[name] / KIB} KiB${fits ? '' : ': too much'}`);
}
process.exit(over ? 1 : 0);
