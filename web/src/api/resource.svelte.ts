// An answer of the server that a component shows: asked again when what it depends on changes, with the old answer
// kept on show meanwhile.
import { untrack } from 'svelte';
import { ApiError } from './client';

/** Counts how often the server came back: what it told before may be out of date, and what failed is tried again. */
class Revival {
  count = $state(0);
}
export const revival = new Revival();

/** What failed is tried again after this many milliseconds. */
const PATIENCE = 30_000;

export class Resource<T> {
  /** The latest answer. */
  data: T | undefined = $state.raw();
  /** Why there is no newer one. */
  error: string | undefined = $state();
  /** Whether that may pass by itself. */
  passing = false;
  /** An answer is awaited. */
  loading: boolean = $state(true);

  #ask: (signal: AbortSignal) => Promise<T>;
  #running: AbortController | undefined;

  constructor(ask: (signal: AbortSignal) => Promise<T>) {
    this.#ask = ask;
  }

  /** Asks; an answer still awaited is not wanted any more. */
  async load(): Promise<void> {
    this.#running?.abort();
    const running = (this.#running = new AbortController());
    this.loading = true;
    try {
      const data = await this.#ask(running.signal);
      if (running.signal.aborted) return;
      this.data = data;
      this.error = undefined;
    } catch (failure) {
      if (running.signal.aborted) return;
      this.passing = failure instanceof ApiError && (failure.status === 0 || failure.status >= 500);
      this.error = failure instanceof ApiError ? failure.message : String(failure);
    }
    this.loading = false;
  }

  /** Doesn't wait for an answer any more. */
  stop(): void {
    this.#running?.abort();
  }

  /** Forgets the answer, and doesn't wait for one. */
  clear(): void {
    this.stop();
    this.data = undefined;
    this.error = undefined;
    this.loading = false;
  }
}

/**
 * A resource that is asked for at once, and again whenever the question says something else: it is data, with all that
 * the answer depends on. `undefined` means that there is nothing to ask. Only where a component is made.
 */
export function resource<Q, T>(
  question: () => Q | undefined,
  ask: (question: Q, signal: AbortSignal) => Promise<T>,
): Resource<T> {
  // As text: a question that is put together anew from an address that changed elsewhere is still the same.
  const asked: string | undefined = $derived(JSON.stringify(question()));
  const it = new Resource<T>((signal) =>
    asked === undefined
      ? Promise.reject(new Error('nothing was asked'))
      : ask(JSON.parse(asked) as Q, signal),
  );
  $effect(() => {
    void revival.count;
    if (asked === undefined) return it.clear();
    untrack(() => void it.load());
    return () => it.stop();
  });
  $effect(() => {
    if (it.loading || it.error === undefined || !it.passing) return;
    const timer = setTimeout(() => void it.load(), PATIENCE);
    return () => clearTimeout(timer);
  });
  return it;
}
