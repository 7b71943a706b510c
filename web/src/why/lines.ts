// The lines of a policy that a rule is written in.

/** Lines with their numbers in the file. */
export interface Lines {
  readonly first: number;
  readonly lines: readonly string[];
  /** The rule's own lines among them, as numbers in the file: first and last. */
  readonly marked: readonly [number, number];
}

/**
 * The rule that begins at `line` of the file, with a few lines around it; `undefined`: the line isn't in the text.
 * A rule ends where a line is indented no deeper than its beginning.
 */
export function ruleLines(yaml: string, firstLine: number, line: number, around = 2): Lines | undefined {
  const lines = yaml.replace(/\n$/, '').split('\n');
  const at = line - firstLine;
  const begin = lines[at];
  if (at < 0 || begin === undefined || line === 0) return undefined;
  const depth = indentation(begin);
  // `- from:` at the same depth as its key is a rule of its own; what follows deeper belongs to it.
  let end = at;
  for (let next = at + 1; next < lines.length; next += 1) {
    const text = lines[next] ?? '';
    if (text.trim() === '' || text.trimStart().startsWith('#')) continue;
    if (indentation(text) <= depth) break;
    end = next;
  }
  const from = Math.max(0, at - around);
  return {
    first: firstLine + from,
    lines: lines.slice(from, Math.min(lines.length, end + around + 1)),
    marked: [line, firstLine + end],
  };
}

/** All of it, with nothing marked. */
export function allLines(yaml: string, firstLine: number): Lines {
  return { first: firstLine, lines: yaml.replace(/\n$/, '').split('\n'), marked: [0, -1] };
}

/** The line of `file:line` or `file:line:column`; 0: there is none. */
export function lineOf(at: string): number {
  const match = /:(\d+)(?::\d+)?$/.exec(at);
  return match ? Number(match[1]) : 0;
}

/** The API's id of a policy that `can` names: `shop/web` or, of a cluster-scoped kind, `guard`. */
export function policyId(kind: string, policy: string): string {
  const slash = policy.indexOf('/');
  if (slash >= 0) return `${kind}/${policy}`;
  // A kind may stand before the name.
  return `${kind}//${policy.slice(policy.lastIndexOf(' ') + 1)}`;
}

function indentation(line: string): number {
  return line.length - line.trimStart().length;
}
