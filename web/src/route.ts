// The page's state is its address: what follows `#`, as `/view/item?name=value`. Everything here is pure.

/** The views, in the order of the navigation. */
export const VIEWS = ['posture', 'map', 'matrix', 'flows', 'policies', 'what-if'] as const;
export type View = (typeof VIEWS)[number];

/** Values by name. A name may have several, whose order is kept. */
export type Params = Readonly<Record<string, readonly string[]>>;

/** Where one is. */
export interface Route {
  readonly view: View;
  /** What is looked into, such as a policy's id; empty: nothing. */
  readonly item: string;
  /** Everything else: the time window, filters, selection. */
  readonly params: Params;
}

/** What to change of the parameters: a value, several, or none (`undefined`, an empty list). */
export type Patch = Readonly<Record<string, string | readonly string[] | undefined>>;

/** Parameters that go along from view to view. */
const LASTING = ['since', 'until'];

export const DEFAULT_SINCE = '1h';

/** Reads an address. What it doesn't know leads to posture, never to an error. */
export function parse(hash: string): Route {
  const text = hash.replace(/^#?\/?/, '');
  const at = text.indexOf('?');
  const path = at < 0 ? text : text.slice(0, at);
  const query = at < 0 ? '' : text.slice(at + 1);
  const slash = path.indexOf('/');
  const name = slash < 0 ? path : path.slice(0, slash);
  const view = VIEWS.find((known) => known === name);
  // Without a prototype: a name may be one that objects have anyway.
  const params: Record<string, string[]> = Object.create(null);
  for (const [key, value] of new URLSearchParams(query)) {
    const values = (params[key] ??= []);
    // Said twice is said once.
    if (!values.includes(value)) values.push(value);
  }
  if (view === undefined) return { view: 'posture', item: '', params: keep(params) };
  return { view, item: slash < 0 ? '' : decode(path.slice(slash + 1)), params };
}

/** Writes an address, `#` included. The same route has one address, whatever way it came about. */
export function format(route: Route): string {
  const query = new URLSearchParams();
  for (const key of Object.keys(route.params).sort()) {
    for (const value of route.params[key] ?? []) query.append(key, value);
  }
  const item = route.item === '' ? '' : `/${encodeURIComponent(route.item)}`;
  const search = query.toString();
  return `#/${route.view}${item}${search === '' ? '' : `?${search}`}`;
}

/** A route with other parameters. */
export function patched(route: Route, patch: Patch): Route {
  const params: Record<string, readonly string[]> = { ...route.params };
  for (const [key, value] of Object.entries(patch)) {
    const values = value === undefined ? [] : typeof value === 'string' ? [value] : value;
    if (values.length === 0) delete params[key];
    else params[key] = values;
  }
  return { ...route, params };
}

/** The way to another view; the time window goes along. */
export function toView(from: Route, view: View, item = '', patch: Patch = {}): Route {
  return patched({ view, item, params: keep(from.params) }, patch);
}

/** The first value of a name. */
export function one(route: Route, name: string): string | undefined {
  return route.params[name]?.[0];
}

/** All values of a name. */
export function all(route: Route, name: string): readonly string[] {
  return route.params[name] ?? [];
}

/** The time window as the API takes it. */
export function timeWindow(route: Route): { since: string; until: string | undefined } {
  return { since: one(route, 'since') ?? DEFAULT_SINCE, until: one(route, 'until') };
}

function keep(params: Params): Params {
  return Object.fromEntries(LASTING.flatMap((key) => (params[key] ? [[key, params[key]]] : [])));
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
