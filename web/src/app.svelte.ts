// What the whole page knows: the server's status, and whether it is heard.
import { ApiError, address, client } from './api/client';
import { revival } from './api/resource.svelte';
import { listen } from './api/stream';
import type { Place, PolicySummary, Status } from './api/types';

class App {
  /** The latest status; `undefined` before the first. */
  status: Status | undefined = $state.raw();
  /** Why there is none yet. */
  error: string | undefined = $state();
  /** The server is heard. */
  connected: boolean = $state(true);
  /** The server's clock minus the browser's, in milliseconds. */
  skew = $state(0);
  /** Counts up every half minute. */
  tick = $state(0);
  /** When the last probe ended: what it found is part of answers. */
  measured: string | undefined = $derived(this.status?.measured?.at);

  /** Changes with the objects: answers of another revision are out of date. */
  revision: number = $derived(this.status?.revision ?? 0);

  /** Flows are watched: there is a time window to choose. */
  watching: boolean = $derived(this.status?.flows !== undefined);
  /** Counts up every half minute while flows are watched: what shows "now" asks again. */
  beat: number = $derived(this.watching ? this.tick : 0);

  /** The server's clock. */
  now(): Date {
    return new Date(Date.now() + this.skew);
  }

  /** Listens to the server. */
  start(): () => void {
    client.status().then(
      (status) => this.#hear(status),
      (failure) => (this.error = failure instanceof ApiError ? failure.message : String(failure)),
    );
    const stop = listen(address('events'), {
      on: { status: (status) => this.#hear(status as Status) },
      connected: (up) => {
        if (up && !this.connected) revival.count += 1;
        this.connected = up;
      },
    });
    const timer = setInterval(() => {
      if (!document.hidden) this.tick += 1;
    }, 30_000);
    return () => {
      stop();
      clearInterval(timer);
    };
  }

  #hear(status: Status): void {
    this.status = status;
    this.error = undefined;
    this.skew = new Date(status.now).getTime() - Date.now();
  }

  #names: Promise<[Place[], PolicySummary[]]> | undefined;
  #namesOf = -1;

  /** All places and policies, to find by typing. */
  names(): Promise<[Place[], PolicySummary[]]> {
    if (this.#names === undefined || this.#namesOf !== this.revision) {
      this.#namesOf = this.revision;
      const names = Promise.all([
        client.places().then((it) => it.places),
        client.policies({}).then((it) => it.policies),
      ]);
      names.catch(() => (this.#names = undefined));
      this.#names = names;
    }
    return this.#names;
  }
}

export const app = new App();
