// Findings' fixes, tried.
import { client } from '../api/client';
import type { Finding } from '../api/types';
import { isPolicy, replaceLines } from './edits';
import { open, tryYaml } from './open';

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
