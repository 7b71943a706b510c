// Ways into the what-if.
import { client } from '../api/client';
import { toView } from '../route';
import { router } from '../router.svelte';
import { encode, type Draft } from './draft';

/** Opens the what-if with a draft. */
export async function open(draft: Draft): Promise<void> {
  router.go(toView(router.route, 'what-if', '', { draft: await encode(draft) }));
}

/** Tries a policy as it is, to edit it. */
export async function tryPolicy(id: string): Promise<void> {
  await open({ edits: [{ replaces: id, yaml: (await client.policy(id, {})).yaml }], deleted: [] });
}

/** Tries to delete a policy. */
export function tryDeletion(id: string): Promise<void> {
  return open({ edits: [], deleted: [id] });
}

/** Tries new policies. */
export function tryYaml(yaml: string): Promise<void> {
  return open({ edits: [{ replaces: '', yaml }], deleted: [] });
}
