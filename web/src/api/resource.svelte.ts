// An answer of the server that a component shows: asked again when what it depends on changes, with the old answer
// kept on show meanwhile.
import { ApiError } from './client';

/** Counts how often the server came back: what it told before may be out of date, and what failed is tried again. */
class Revival {
  count = $state(0);
}
export const revival = new Revival();

export class Resource<T> {
  /** The latest answer. */
  data: T | undefined = $state.raw();
  /** Why there is no newer one. */
  error: string | undefined = $state();
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
 * A resource that is asked for at once, and again whenever what `ask` reads (before its first `await`) changes.
 * `undefined` from it means that there is nothing to ask. Only where a component is made.
 */
export function resource<T>(ask: () => ((signal: AbortSignal) => Promise<T>) | undefined): Resource<T> {
  let current: (signal: AbortSignal) => Promise<T> = () => Promise.reject(new Error('nothing was asked'));
  const it = new Resource<T>((signal) => current(signal));
  $effect(() => {
    void revival.count;
    const next = ask();
    if (next === undefined) {
      it.clear();
      return;
    }
    current = next;
    void it.load();
    return () => it.stop();
  });
  return it;
}
