// Writes src/api/schema.d.ts from docs/schema/openapi.json; with --check, says whether it is what it would write.
import { readFileSync, writeFileSync } from 'node:fs';
import openapiTS, { astToString } from 'openapi-typescript';

const schema = new URL('../../docs/schema/openapi.json', import.meta.url);
const types = new URL('../src/api/schema.d.ts', import.meta.url);

const text = `// Written by npm run types from docs/schema/openapi.json.\n\n${astToString(await openapiTS(schema))}`;
if (!process.argv.includes('--check')) {
  writeFileSync(types, text);
} else if (readFileSync(types, 'utf8') !== text) {
  console.error('web/src/api/schema.d.ts is older than docs/schema/openapi.json: npm run types');
  process.exitCode = 1;
}
