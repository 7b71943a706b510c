// From a proposed change into the what-if. Apart from the other ways, because it brings a parser along.
import { client } from '../api/client';
import type { Change } from '../api/types';
import type { Draft } from './draft';
import { insert } from './insert';
import { open } from './open';

/** Tries what `can` proposes. */
export async function tryChange(change: Change): Promise<void> {
  const draft: Draft = { edits: [], deleted: [] };
  for (const edit of change.edits) {
    const place = /^add to (.+)$/.exec(edit.what)?.[1];
    if (place === undefined) {
      draft.edits.push({ replaces: '', yaml: edit.yaml });
      continue;
    }
    const id = `NetworkPolicy/${edit.policy}`;
    let before = draft.edits.find((known) => known.replaces === id);
    if (before === undefined) {
      before = { replaces: id, yaml: (await client.policy(id, {})).yaml };
      draft.edits.push(before);
    }
    const yaml = insert(before.yaml, place, edit.yaml);
    if (yaml === undefined) {
      throw new Error(
        `${edit.policy} has no list at ${place} that can be added to. Open the policy in the what-if and edit it there.`,
      );
    }
    before.yaml = yaml;
  }
  await open(draft);
}
