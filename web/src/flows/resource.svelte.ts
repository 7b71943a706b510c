// An answer about the flows of a time window: asked again when these may be others, and not because time goes by.
import { untrack } from 'svelte';
import { app } from '../app.svelte';
import { resource, type Resource } from '../api/resource.svelte';
import { mayDiffer, type Kept } from './kept';

function keptNow(): Kept | undefined {
  const flows = app.status?.flows;
  if (flows === undefined) return undefined;
  const time = (text: string | undefined) => (text === undefined ? undefined : Date.parse(text));
  return {
    at: app.now().getTime(),
    count: flows.kept,
    oldest: time(flows.oldest),
    newest: time(flows.newest),
  };
}

/**
 * A resource that depends on flows besides what its question says. Whether they may be others is looked at each half
 * minute. Only where a component is made.
 */
export function flowResource<Q, T>(
  window: () => { since?: string | undefined; until?: string | undefined },
  question: () => Q | undefined,
  ask: (question: Q, signal: AbortSignal) => Promise<T>,
): Resource<T> {
  /** What was known of flows when it was asked for: the answer has them, and perhaps more. */
  let before: Kept | undefined;
  const it = resource(question, (question: Q, signal) => {
    before = keptNow();
    return ask(question, signal);
  });
  $effect(() => {
    void app.tick;
    untrack(() => {
      const now = keptNow();
      if (it.loading || before === undefined || now === undefined) return;
      if (mayDiffer(window(), before, now)) void it.load();
    });
  });
  return it;
}
