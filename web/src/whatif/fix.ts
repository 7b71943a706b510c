// Findings' fixes, tried.
import { client } from '../api/client';
import type { Finding } from '../api/types';
import { open, tryYaml } from './open';

/** Whether a finding's fix can be tried: a new policy, or lines of the policy that it is about. */
export function canTry(finding: Finding): boolean {
  return /^kind: /m.test(finding.fix?.yaml ?? '') || (finding.fix?.edit !== undefined && isPolicy(finding));
}

/** Tries a finding's fix. */
export async function tryFix(finding: Finding): Promise<void> {
  const edit = finding.fix?.edit;
  if (edit === undefined || !isPolicy(finding)) return tryYaml(finding.fix?.yaml ?? '');
  const { kind, namespace, name } = finding.object;
  const id = `${kind}/${namespace}/${name}`;
  const policy = await client.policy(id, {});
  await open({
    edits: [{ replaces: id, yaml: replaceLines(policy.yaml, policy.firstLine, edit) }],
    deleted: [],
  });
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

function isPolicy(finding: Finding): boolean {
  return finding.object.kind.endsWith('NetworkPolicy');
}
