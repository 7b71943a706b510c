import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { listen, type Source } from './stream';

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

/** A connection that tests open, break and speak through. */
class Fake implements Source {
  readyState = 0;
  onopen: (() => void) | null = null;
  onerror: (() => void) | null = null;
  closed = false;
  #handlers = new Map<string, (event: { data: string }) => void>();
  addEventListener(name: string, handler: (event: { data: string }) => void) {
    this.#handlers.set(name, handler);
  }
  close() {
    this.closed = true;
  }
  tell(name: string, data: string) {
    this.#handlers.get(name)?.({ data });
  }
  /** Breaks: for good, or so that the browser tries again itself. */
  fail(forGood: boolean) {
    this.readyState = forGood ? 2 : 0;
    this.onerror?.();
  }
}

function stream() {
  const opened: Fake[] = [];
  const told: unknown[] = [];
  const up: boolean[] = [];
  const stop = listen(
    'events',
    { on: { status: (data) => told.push(data) }, connected: (it) => up.push(it) },
    () => {
      const source = new Fake();
      opened.push(source);
      return source;
    },
  );
  return { opened, told, up, stop };
}

test('events are told parsed; half a one is passed over', () => {
  const { opened, told } = stream();
  opened[0]?.tell('status', '{"a":1}');
  opened[0]?.tell('status', '{"a":');
  opened[0]?.tell('other', '{}');
  expect(told).toEqual([{ a: 1 }]);
});

test('while the browser tries again itself, nobody else does', () => {
  const { opened, up } = stream();
  opened[0]?.onopen?.();
  opened[0]?.fail(false);
  vi.advanceTimersByTime(60_000);
  expect(opened).toHaveLength(1);
  expect(up).toEqual([true, false]);
});

test('when the browser gives up it is tried again, less and less often', () => {
  const { opened } = stream();
  const times: number[] = [];
  const begin = Date.now();
  for (let i = 0; i < 8; i += 1) {
    opened.at(-1)?.fail(true);
    const before = opened.length;
    while (opened.length === before) vi.advanceTimersByTime(100);
    times.push(Date.now() - begin);
  }
  const waits = times.map((time, i) => time - (times[i - 1] ?? 0));
  expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
});

test('a connection that stood makes the next wait short again', () => {
  const { opened } = stream();
  opened[0]?.fail(true);
  vi.advanceTimersByTime(500);
  opened[1]?.onopen?.();
  opened[1]?.fail(true);
  vi.advanceTimersByTime(500);
  expect(opened).toHaveLength(3);
});

test('who stops listening hears nothing more, and nothing is tried again', () => {
  const { opened, up, stop } = stream();
  opened[0]?.fail(true);
  stop();
  vi.advanceTimersByTime(60_000);
  expect(opened).toHaveLength(1);
  expect(opened[0]?.closed).toBe(true);
  opened[0]?.fail(true);
  expect(up).toEqual([false]);
});
