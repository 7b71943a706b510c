// Writes src/api/schema.d.ts from docs/schema/openapi.json; with --check, says whether it is what it would write.
import { readFileSync, writeFileSync } from 'node:fs';
import openapiTS, { astToString } from 'openapi-typescript';

const schema = JSON.parse(readFileSync(new URL('../../docs/schema/openapi.json', import.meta.url), 'utf8'));
const types = new URL('../src/api/schema.d.ts', import.meta.url);

// What an answer may leave out is absent, never null.
function withoutNull(node) {
  if (Array.isArray(node)) return node.forEach(withoutNull);
  if (node === null || typeof node !== 'object') return;
  for (const [name, property] of Object.entries(node.properties ?? {})) {
    if (node.required?.includes(name)) continue;
    if (Array.isArray(property.type) && property.type.includes('null')) {
      property.type = property.type.filter((type) => type !== 'null')[0];
    } else if (property.oneOf?.some((one) => one.type === 'null')) {
      const [one] = property.oneOf.filter((one) => one.type !== 'null');
      node.properties[name] = one;
    }
  }
  Object.values(node).forEach(withoutNull);
}
withoutNull(schema);

const text = `// Written by npm run types from docs/schema/openapi.json.\n\n${astToString(await openapiTS(schema))}`;
if (!process.argv.includes('--check')) {
  writeFileSync(types, text);
} else if (readFileSync(types, 'utf8') !== text) {
  console.error('web/src/api/schema.d.ts is older than docs/schema/openapi.json: npm run types');
  process.exitCode = 1;
}
