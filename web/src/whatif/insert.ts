// Writes items into a list of a YAML document, leaving everything else as it was written.
import { parser } from '@lezer/yaml';
import type { SyntaxNode } from '@lezer/common';

/**
 * Adds `items` (lines of a block sequence, as `- a\n- b\n`) to the list at `path`, such as `spec.ingress[0].from`.
 * The list may be empty, written in flow style or absent. `undefined`: the place is not there.
 */
export function insert(yaml: string, path: string, items: string): string | undefined {
  const text = yaml.endsWith('\n') || yaml === '' ? yaml : `${yaml}\n`;
  const steps = path
    .split(/\.|(?=\[)/)
    .map((step) => (step.startsWith('[') ? Number(step.slice(1, -1)) : step));
  let node: SyntaxNode | undefined = content(parser.parse(text).topNode);
  for (let at = 0; at < steps.length; at += 1) {
    const step = steps[at];
    if (node === undefined) return undefined;
    if (typeof step === 'number') {
      node = item(node, step);
      continue;
    }
    const last = at === steps.length - 1;
    const found = step === undefined ? undefined : pair(text, node, step);
    if (found !== undefined) {
      const value = valueOf(found);
      if (!last) node = value;
      else return extend(text, found, value, items);
    } else if (last && step !== undefined && node.name === 'BlockMapping') {
      return addKey(text, node, step, items);
    } else {
      return undefined;
    }
  }
  return undefined;
}

/** The value of the first document. */
function content(top: SyntaxNode): SyntaxNode | undefined {
  const document = top.getChild('Document');
  return document ? named(document, ['BlockMapping', 'FlowMapping']) : undefined;
}

function named(node: SyntaxNode, names: readonly string[]): SyntaxNode | undefined {
  for (let child = node.firstChild; child; child = child.nextSibling)
    if (names.includes(child.name)) return child;
  return undefined;
}

function pair(text: string, mapping: SyntaxNode, key: string): SyntaxNode | undefined {
  for (const found of mapping.getChildren('Pair')) {
    const name = found.getChild('Key');
    if (name && text.slice(name.from, name.to).replace(/^["']|["']$/g, '') === key) return found;
  }
  return undefined;
}

const VALUES = ['BlockMapping', 'BlockSequence', 'FlowMapping', 'FlowSequence', 'Literal', 'QuotedLiteral'];

function valueOf(found: SyntaxNode): SyntaxNode | undefined {
  for (let child = found.lastChild; child; child = child.prevSibling) {
    if (child.name === 'Key') return undefined;
    if (VALUES.includes(child.name)) return child;
  }
  return undefined;
}

function item(sequence: SyntaxNode, index: number): SyntaxNode | undefined {
  if (sequence.name !== 'BlockSequence') return undefined;
  const found = sequence.getChildren('Item')[index];
  return found && named(found, VALUES);
}

function extend(
  text: string,
  found: SyntaxNode,
  value: SyntaxNode | undefined,
  items: string,
): string | undefined {
  if (value?.name === 'BlockSequence') {
    return splice(text, endOfLine(text, value.to), indented(items, column(text, value.from)));
  }
  const empty = value === undefined || (value.name === 'FlowSequence' && value.getChild('Item') === null);
  if (!empty) return undefined;
  // `ingress: []` and `ingress:` become a list below their key.
  const key = found.getChild('Key');
  if (!key) return undefined;
  const colon = text.indexOf(':', key.to);
  const before = text.slice(0, colon + 1);
  const rest = text.slice(value?.to ?? colon + 1);
  return `${before}${rest.slice(0, endOfLine(rest, 0)).trimEnd()}\n${indented(items, column(text, key.from) + 2)}${rest.slice(endOfLine(rest, 0))}`;
}

function addKey(text: string, mapping: SyntaxNode, key: string, items: string): string {
  // The parser's mapping may begin before its first key.
  const at = column(text, mapping.getChild('Pair')?.getChild('Key')?.from ?? mapping.from);
  return splice(text, endOfLine(text, mapping.to), `${' '.repeat(at)}${key}:\n${indented(items, at + 2)}`);
}

function splice(text: string, at: number, added: string): string {
  return text.slice(0, at) + added + text.slice(at);
}

/** One after the line's end, from where something on it ends. */
function endOfLine(text: string, from: number): number {
  if (from > 0 && text[from - 1] === '\n') return from;
  const end = text.indexOf('\n', from);
  return end < 0 ? text.length : end + 1;
}

function column(text: string, at: number): number {
  return at - (text.lastIndexOf('\n', at - 1) + 1);
}

function indented(lines: string, by: number): string {
  return lines
    .trimEnd()
    .split('\n')
    .map((line) => (line === '' ? '\n' : `${' '.repeat(by)}${line}\n`))
    .join('');
}
