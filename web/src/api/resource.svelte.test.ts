import { expect, test } from 'vitest';
import { ApiError } from './client';
import { Resource } from './resource.svelte';

/** Answers that tests give when they want to. */
function asked() {
  const waiting: { resolve: (it: string) => void; reject: (it: unknown) => void; signal: AbortSignal }[] = [];
  const it = new Resource<string>(
    (signal) => new Promise((resolve, reject) => waiting.push({ resolve, reject, signal })),
  );
  return { it, waiting };
}

test('an old answer stays on show while a new one is awaited, and when it fails', async () => {
  const { it, waiting } = asked();
  const first = it.load();
  expect([it.loading, it.data]).toEqual([true, undefined]);
  waiting[0]?.resolve('one');
  await first;
  expect([it.loading, it.data]).toEqual([false, 'one']);
  const second = it.load();
  expect([it.loading, it.data]).toEqual([true, 'one']);
  waiting[1]?.reject(new ApiError(500, 'broken'));
  await second;
  expect([it.loading, it.data, it.error]).toEqual([false, 'one', 'broken']);
});

test('an answer that comes after a newer question is nobody’s', async () => {
  const { it, waiting } = asked();
  const first = it.load();
  const second = it.load();
  expect(waiting[0]?.signal.aborted).toBe(true);
  waiting[1]?.resolve('new');
  await second;
  waiting[0]?.resolve('old');
  await first;
  expect(it.data).toBe('new');
});

test('what worked makes an error go away', async () => {
  const { it, waiting } = asked();
  const first = it.load();
  waiting[0]?.reject(new TypeError('x'));
  await first;
  expect(it.error).toContain('x');
  const second = it.load();
  waiting[1]?.resolve('fine');
  await second;
  expect([it.error, it.data]).toEqual([undefined, 'fine']);
});

test('forgotten is forgotten, also what was awaited', async () => {
  const { it, waiting } = asked();
  const first = it.load();
  it.clear();
  waiting[0]?.resolve('late');
  await first;
  expect([it.data, it.loading]).toEqual([undefined, false]);
});
