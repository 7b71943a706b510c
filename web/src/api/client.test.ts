import { afterEach, expect, test, vi } from 'vitest';
import { address, ApiError, client } from './client';

afterEach(() => vi.unstubAllGlobals());

/** Stands in for the network, and notes what was asked. */
function answer(status: number, body: string | undefined, type = 'application/json') {
  const asked: { url: string; init: RequestInit }[] = [];
  vi.stubGlobal('fetch', (url: string, init: RequestInit) => {
    asked.push({ url, init });
    if (body === undefined) return Promise.reject(new TypeError('Failed to fetch'));
    return Promise.resolve(new Response(body, { status, headers: { 'Content-Type': type } }));
  });
  return asked;
}
const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (it: unknown) => it as ApiError,
  );

test('addresses are relative, repeat names and leave out what is not set', () => {
  expect(address('flows', { verdict: ['denied', 'unknown'], limit: 5, until: undefined })).toBe(
    'api/v1/flows?verdict=denied&verdict=unknown&limit=5',
  );
  expect(address('status')).toBe('api/v1/status');
});

test('ids are one part of the path, whatever is in them', async () => {
  const asked = answer(200, '{}');
  await client.policy('NetworkPolicy/shop/web', { since: '1h' });
  await client.story('a b/c');
  expect(asked.map((it) => it.url)).toEqual([
    'api/v1/policies/NetworkPolicy%2Fshop%2Fweb?since=1h',
    'api/v1/flows/a%20b%2Fc/story',
  ]);
});

test('a filter can’t stand in for the window', async () => {
  const asked = answer(200, '{}');
  await client.flows({ verdict: ['denied'] }, { since: '1h', until: undefined, limit: 2 });
  expect(asked[0]?.url).toBe('api/v1/flows?verdict=denied&since=1h&limit=2');
});

test('a candidate is posted as JSON', async () => {
  const asked = answer(200, '{}');
  await client.whatIf({ edits: [{ yaml: 'a: 1' }], deleted: [] });
  expect(asked[0]?.init).toMatchObject({
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: '{"edits":[{"yaml":"a: 1"}],"deleted":[]}',
  });
});

test('the server’s own words are the error', async () => {
  answer(400, '{"error":"since: write a time or a length such as 10m"}');
  const error = await failure(client.status());
  expect(error).toBeInstanceOf(ApiError);
  expect(error).toMatchObject({ status: 400, message: 'since: write a time or a length such as 10m' });
});

test.each([
  [401, 'nonsense', /token/],
  [502, '<html>', /502/],
  [500, '{"other":1}', /500/],
])('an answer %i without them says what to do', async (status, body, words) => {
  answer(status, body, 'text/html');
  expect((await failure(client.status()))?.message).toMatch(words);
});

test('no answer, and half an answer', async () => {
  answer(0, undefined);
  expect(await failure(client.status())).toMatchObject({
    status: 0,
    message: expect.stringContaining('still running'),
  });
  answer(200, '{"version":');
  expect(await failure(client.status())).toMatchObject({ message: expect.stringContaining('broke off') });
});

test('what was called off is no error of the server', async () => {
  const abort = new AbortController();
  vi.stubGlobal('fetch', (_: string, init: RequestInit) => {
    abort.abort();
    return Promise.reject(init.signal?.reason);
  });
  expect(await failure(client.status(abort.signal))).not.toBeInstanceOf(ApiError);
});
