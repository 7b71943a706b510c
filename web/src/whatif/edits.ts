// The parts of a change.
import type { Problem } from '../api/types';
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

/**
 * The problems of one part. The API counts only parts that have text, from 1, at the end of a problem's file; what
 * belongs to none stands at the only one.
 */
export function problemsOf(problems: readonly Problem[], at: number, draft: Draft): Problem[] {
  const written = draft.edits.filter((it) => it.yaml.trim() !== '');
  const own = draft.edits[at];
  const number = own === undefined ? 0 : written.indexOf(own) + 1;
  return problems.filter((it) => {
    const of = /(\d+)$/.exec(it.file)?.[1];
    return of === undefined ? written.length === 1 : Number(of) === number;
  });
}
