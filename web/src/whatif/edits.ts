// The parts of a change.
import type { Finding, Problem } from '../api/types';
import type { Draft, DraftEdit } from './draft';

/** What a new policy begins with. */
export const TEMPLATE = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: my-policy
  namespace: default
spec:
  podSelector: {}
  policyTypes: [Ingress]
  ingress: []
`;

export function added(draft: Draft, edit: DraftEdit): Draft {
  return { ...draft, edits: [...draft.edits, edit] };
}

export function dropped(draft: Draft, at: number): Draft {
  return { ...draft, edits: draft.edits.filter((_, i) => i !== at) };
}

export function withText(draft: Draft, at: number, yaml: string): Draft {
  return { ...draft, edits: draft.edits.map((it, i) => (i === at ? { ...it, yaml } : it)) };
}

/** What a part is called: by the policy that it replaces, or by the one that it writes. */
export function label(edit: DraftEdit): string {
  if (edit.replaces !== '') return edit.replaces.replace(/^NetworkPolicy\//, '').replace('//', ' ');
  const block = /^metadata:[^\S\n]*\n(?:[ \t]+.*\n|\n)*?[ \t]+name:[^\S\n]*["']?([\w.-]+)/m.exec(edit.yaml);
  const flow = /^metadata:[^\S\n]*\{(?:[^}]*[\s,])?name:\s*["']?([\w.-]+)/m.exec(edit.yaml);
  const name = block?.[1] ?? flow?.[1];
  return name === undefined ? 'new' : `new: ${name}`;
}

/** The problems of one part. The API numbers the parts that have text, from 1: `edit 1`. */
export function problemsOf(problems: readonly Problem[], at: number, draft: Draft): Problem[] {
  const own = draft.edits[at];
  const number = draft.edits.filter((it) => it.yaml.trim() !== '').findIndex((it) => it === own) + 1;
  return number === 0 ? [] : problems.filter((it) => it.file === `edit ${number}`);
}

/** Whether a finding's fix can be tried: a new policy, or lines of the policy that it is about. */
export function canTry(finding: Finding): boolean {
  return /^kind: /m.test(finding.fix?.yaml ?? '') || (finding.fix?.edit !== undefined && isPolicy(finding));
}

/** Lines of a file replaced in a part of it that begins at `firstLine`. */
export function replaceLines(
  yaml: string,
  firstLine: number,
  edit: { first: number; last: number; replacement: string },
): string {
  const lines = yaml.replace(/\n$/, '').split('\n');
  const replacement = edit.replacement === '' ? [] : edit.replacement.replace(/\n$/, '').split('\n');
  lines.splice(Math.max(0, edit.first - firstLine), edit.last - edit.first + 1, ...replacement);
  return `${lines.join('\n')}\n`;
}

/** Whether a finding is about a policy. */
export function isPolicy(finding: Finding): boolean {
  return finding.object.kind.endsWith('NetworkPolicy');
}
