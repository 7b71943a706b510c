// @vitest-environment jsdom
import { createRawSnippet, flushSync, mount, unmount } from 'svelte';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import Table from './Table.svelte';

let shown: ReturnType<typeof mount> | undefined;

beforeEach(() => {
  vi.stubGlobal('requestAnimationFrame', (then: () => void) => then());
  // jsdom lays nothing out.
  vi.stubGlobal(
    'ResizeObserver',
    class {
      observe() {}
      unobserve() {}
      disconnect() {}
    },
  );
});

afterEach(() => {
  if (shown) void unmount(shown);
  document.body.innerHTML = '';
  vi.unstubAllGlobals();
});

function table(count: number, fill: boolean) {
  const opened: string[] = [];
  shown = mount(Table<string>, {
    target: document.body,
    props: {
      items: Array.from({ length: count }, (_, i) => `row ${i}`),
      columns: [{ key: 'name', label: 'Name' }],
      label: 'Names',
      key: (item: string) => item,
      fill,
      onopen: (item: string) => opened.push(item),
      cell: createRawSnippet((item: () => string) => ({ render: () => `<span>${item()}</span>` })),
    },
  });
  flushSync();
  const rows = () => [...document.querySelectorAll<HTMLElement>('tbody tr[data-row]')];
  const press = (key: string) => {
    document.activeElement?.dispatchEvent(
      new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }),
    );
    flushSync();
  };
  return { opened, rows, press };
}

test('of a long list only some rows are drawn, and the table says how many there are', () => {
  const { rows } = table(10_000, true);
  expect(rows().length).toBeLessThan(60);
  expect(document.querySelector('table')?.getAttribute('aria-rowcount')).toBe('10001');
  expect(rows()[0]?.getAttribute('aria-rowindex')).toBe('2');
});

test('one row can be tabbed to; arrows lead to the others, Enter opens', () => {
  const { opened, rows, press } = table(5, false);
  expect(rows().map((row) => row.tabIndex)).toEqual([0, -1, -1, -1, -1]);
  rows()[0]?.focus();
  press('ArrowDown');
  press('ArrowDown');
  press('ArrowUp');
  expect(document.activeElement?.textContent).toContain('row 1');
  press('Enter');
  press('End');
  press('ArrowDown');
  press(' ');
  press('Home');
  press('Enter');
  expect(opened).toEqual(['row 1', 'row 4', 'row 0']);
});

test('a click opens the row, and the keyboard goes on from there', () => {
  const { opened, rows, press } = table(5, false);
  rows()[3]?.click();
  flushSync();
  expect(opened).toEqual(['row 3']);
  expect(rows()[3]?.tabIndex).toBe(0);
  rows()[3]?.focus();
  press('ArrowDown');
  expect(document.activeElement?.textContent).toContain('row 4');
});
