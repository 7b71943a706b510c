// Server-sent events, with patience: the browser gives up for good after an error answer, we don't.

/** What a stream tells. */
export interface Listener {
  /** By event name: what to do with its data, parsed. */
  on: Readonly<Record<string, (data: unknown) => void>>;
  /** The connection stands, or not. */
  connected?: (up: boolean) => void;
}

/** What of EventSource is used; tests bring their own. */
export interface Source {
  readyState: number;
  onopen: (() => void) | null;
  onerror: (() => void) | null;
  addEventListener(name: string, handler: (event: { data: string }) => void): void;
  close(): void;
}

const CLOSED = 2;
const FIRST_WAIT = 500;
const LONGEST_WAIT = 15_000;

/** Listens until the function that it returns is called. */
export function listen(
  url: string,
  listener: Listener,
  open: (url: string) => Source = (url) => new EventSource(url) as unknown as Source,
): () => void {
  let wait = FIRST_WAIT;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let source: Source | undefined;
  let ended = false;

  const connect = () => {
    source = open(url);
    source.onopen = () => {
      wait = FIRST_WAIT;
      listener.connected?.(true);
    };
    source.onerror = () => {
      if (ended) return;
      listener.connected?.(false);
      if (source?.readyState !== CLOSED) return;
      timer = setTimeout(connect, wait);
      wait = Math.min(wait * 2, LONGEST_WAIT);
    };
    for (const [name, handle] of Object.entries(listener.on)) {
      source.addEventListener(name, (event) => {
        let data: unknown;
        try {
          data = JSON.parse(event.data);
        } catch {
          // Half an event, of a connection that broke: it comes again with the next.
          return;
        }
        handle(data);
      });
    }
  };

  connect();
  return () => {
    ended = true;
    clearTimeout(timer);
    source?.close();
  };
}
