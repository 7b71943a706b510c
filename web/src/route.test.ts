import { describe, expect, test } from 'vitest';
import { all, format, one, parse, patched, timeWindow, toView, VIEWS } from './route';

describe('addresses', () => {
  test.each([
    ['an empty address is posture', '', 'posture', ''],
    ['an unknown view is posture', '#/nothing/here', 'posture', ''],
    ['a view', '#/map', 'map', ''],
    [
      'an item with slashes in it',
      '#/policies/NetworkPolicy%2Fshop%2Fweb',
      'policies',
      'NetworkPolicy/shop/web',
    ],
    ['an item that is not well encoded stays as it is', '#/policies/100%', 'policies', '100%'],
  ])('%s', (_, hash, view, item) => {
    expect(parse(hash)).toMatchObject({ view, item });
  });

  test('every view survives being written and read', () => {
    for (const view of VIEWS) {
      const route = {
        view,
        item: 'a/b c?d#e&f=ü',
        params: { pod: ['x/y', 'z'], since: ['10m'], q: ['a&b'] },
      };
      expect(parse(format(route))).toEqual(route);
    }
  });

  test('the order of names does not matter, that of values does', () => {
    const one = parse('#/flows?pod=b&since=1h&pod=a');
    expect(format(one)).toBe('#/flows?pod=b&pod=a&since=1h');
    expect(format(parse('#/flows?since=1h&pod=b&pod=a'))).toBe(format(one));
  });

  test('a value that is there twice is there once', () => {
    expect(format(parse('#/map?namespace=a&namespace=b&namespace=a'))).toBe('#/map?namespace=a&namespace=b');
  });

  test('names that objects have anyway are names like others', () => {
    expect(parse('#/flows?constructor=x').params['constructor']).toEqual(['x']);
  });
});

describe('changes', () => {
  const flows = parse('#/flows?verdict=denied&since=10m&until=2026-11-23T10:00:00Z');

  test('a patch sets, repeats and takes away', () => {
    const next = patched(flows, { verdict: undefined, pod: ['a', 'b'], port: '80', label: [] });
    expect(format(next)).toBe('#/flows?pod=a&pod=b&port=80&since=10m&until=2026-11-23T10%3A00%3A00Z');
    expect(all(next, 'pod')).toEqual(['a', 'b']);
    expect(one(next, 'verdict')).toBeUndefined();
  });

  test('the time window goes along to another view, filters stay behind', () => {
    expect(toView(flows, 'map').params).toEqual({ since: ['10m'], until: ['2026-11-23T10:00:00Z'] });
    expect(one(toView(flows, 'flows', '', { policy: 'shop/web' }), 'policy')).toBe('shop/web');
  });

  test('without a window it is the last hour', () => {
    expect(timeWindow(parse('#/map'))).toEqual({ since: '1h', until: undefined });
    expect(timeWindow(flows)).toEqual({ since: '10m', until: '2026-11-23T10:00:00Z' });
  });
});
