import { expect, test } from 'vitest';
import type { FlowPage, FlowRecord } from '../api/types';
import { Feed, MOST } from './feed';

const record = (id: number | undefined): FlowRecord => ({
  id: id === undefined ? undefined : String(id),
  time: '2026-11-23T10:00:00Z',
  node: 'a',
  verdict: 'allowed',
  protocol: 'TCP',
  source: { ip: '10.0.0.1', port: 1, kind: 'outside' },
  destination: { ip: '10.0.0.2', port: 2, kind: 'outside' },
});
const page = (ids: (number | undefined)[], next?: string): FlowPage => ({
  records: ids.map(record),
  matching: ids.length,
  total: ids.length,
  facets: [],
  next,
  losses: {},
});
const ids = (rows: readonly { id: string }[]) => rows.map((row) => row.id);

test('what comes stands in front, once, and what was goes on behind', () => {
  const feed = new Feed();
  feed.begin(page([3, 2], '2'));
  feed.come([record(3), record(4), record(5)], false);
  feed.extend(page([2, 1]));
  expect(ids(feed.rows)).toEqual(['5', '4', '3', '2', '1']);
  expect(feed.next).toBeUndefined();
});

test('what comes waits while the table is not to move', () => {
  const feed = new Feed();
  feed.begin(page([1]));
  feed.come([record(2)], true);
  feed.come([record(3)], true);
  expect(ids(feed.rows)).toEqual(['1']);
  expect(ids(feed.waiting)).toEqual(['3', '2']);
  feed.release();
  expect(ids(feed.rows)).toEqual(['3', '2', '1']);
  expect(feed.waiting).toEqual([]);
});

test('records without an id are all different', () => {
  const feed = new Feed();
  feed.begin(page([undefined, undefined]));
  expect(new Set(ids(feed.rows)).size).toBe(2);
});

test('rows don’t grow without end; what was let go ends the pages', () => {
  const feed = new Feed();
  feed.begin(page([1, 0], 'more'));
  const many = Array.from({ length: MOST - 2 }, (_, i) => record(i + 2));
  feed.come(many, false);
  expect([feed.rows.length, feed.next, feed.full]).toEqual([MOST, 'more', false]);
  feed.come([record(MOST)], false);
  expect([feed.rows.length, feed.next, feed.full]).toEqual([MOST, undefined, true]);
  feed.extend(page([0], 'even more'));
  expect([feed.rows.at(-1)?.id, feed.next]).toEqual(['1', undefined]);
  feed.begin(page([1]));
  expect(feed.full).toBe(false);
});
