// Filters of flows: in the address, as chips, as facets, and on a command line.
import type { Params, Patch, Route } from '../route';

/** The API's filters, with what they mean; each may have `not-` in front. */
export const FILTERS: Readonly<Record<string, string>> = {
  verdict: 'verdict',
  namespace: 'namespace of either end',
  'from-namespace': 'namespace of the source',
  'to-namespace': 'namespace of the destination',
  workload: 'workload at either end',
  'from-workload': 'workload that connects',
  'to-workload': 'workload that is connected to',
  pod: 'pod at either end',
  'from-pod': 'pod that connects',
  'to-pod': 'pod that is connected to',
  port: 'port of the destination',
  protocol: 'protocol',
  policy: 'policy that decided or isolates',
  rule: 'rule that decided',
  label: 'labels of either end',
  'from-label': 'labels of the source',
  'to-label': 'labels of the destination',
  service: 'Service that was asked for',
  ip: 'address of either end',
  'from-ip': 'address of the source',
  'to-ip': 'address of the destination',
  fqdn: 'name in DNS of either end',
  'node-name': 'node that decided',
  staged: 'staged policies decide otherwise',
  cut: 'cut by a policy change',
};

/** Those without a value to speak of. */
export const SWITCHES: readonly string[] = ['staged', 'cut'];

/** What facets are called as filters, where the names differ. */
const FACETS: Readonly<Record<string, string>> = { node: 'node-name' };

/** A filter that is set. */
export interface Chip {
  /** Without `not-`. */
  name: string;
  value: string;
  not: boolean;
}

/** The filter of a facet. */
export function ofFacet(field: string): string {
  return FACETS[field] ?? field;
}

/** The filters in an address, in the order of `FILTERS`. */
export function chips(params: Params): Chip[] {
  const found: Chip[] = [];
  for (const name of Object.keys(FILTERS)) {
    for (const not of [false, true]) {
      for (const value of params[not ? `not-${name}` : name] ?? []) found.push({ name, value, not });
    }
  }
  return found;
}

/** The same as parameters of the API. */
export function query(params: Params): Record<string, readonly string[]> {
  const found: Record<string, string[]> = {};
  for (const it of chips(params)) (found[key(it)] ??= []).push(it.value);
  return found;
}

export function key(chip: Chip): string {
  return chip.not ? `not-${chip.name}` : chip.name;
}

/** A chip more; once is enough. */
export function added(route: Route, chip: Chip): Patch {
  const values = route.params[key(chip)] ?? [];
  return values.includes(chip.value) ? {} : { [key(chip)]: [...values, chip.value] };
}

/** A chip less. */
export function removed(route: Route, chip: Chip): Patch {
  return { [key(chip)]: (route.params[key(chip)] ?? []).filter((value) => value !== chip.value) };
}

/** All chips gone. */
export function cleared(params: Params): Patch {
  return Object.fromEntries(chips(params).map((chip) => [key(chip), undefined]));
}

/** What somebody types: `namespace:shop`, `!port:53`, `staged`; `undefined`: that is none. */
export function typed(text: string): Chip | undefined {
  const match = /^\s*(!|not[ -])?([a-z-]+)\s*(?:[:=]\s*(.*))?$/.exec(text);
  const name = match?.[2];
  if (name === undefined || FILTERS[name] === undefined) return undefined;
  const not = match?.[1] !== undefined;
  const value = (match?.[3] ?? '').trim();
  if (SWITCHES.includes(name)) return { name, value: 'true', not };
  return value === '' ? undefined : { name, value, not };
}

/** A chip as words. */
export function words(chip: Chip): string {
  const what = SWITCHES.includes(chip.name) ? chip.name : `${chip.name}: ${chip.value}`;
  return chip.not ? `not ${what}` : what;
}

// === on a command line ===

/** The command that shows the same flows. */
export function command(
  params: Params,
  window: { since: string; until: string | undefined },
  follow: boolean,
): string {
  const parts = ['podgate', 'observe'];
  if (follow) parts.push('--follow');
  parts.push('--since', quoted(window.since));
  if (window.until !== undefined) parts.push('--until', quoted(window.until));
  for (const chip of chips(params)) {
    for (const [flag, value] of flags(chip)) {
      if (chip.not) parts.push('--not');
      parts.push(`--${flag}`);
      if (value !== undefined) parts.push(quoted(value));
    }
  }
  return parts.join(' ');
}

/** The flags of a chip: the page also takes ids, which the command line does not. */
function flags(chip: Chip): [string, string | undefined][] {
  const { name, value } = chip;
  if (SWITCHES.includes(name)) return [[name, undefined]];
  if (name === 'port') return [['to-port', value]];
  if (name === 'verdict') return [[name, value.toUpperCase()]];
  if (name === 'policy') {
    const id = /^(\w+)\/([^/]*)\/([^/]+)$/.exec(value);
    if (id) return [[name, id[2] === '' ? `${id[1]} ${id[3]}` : `${id[2]}/${id[3]}`]];
  }
  if (name.endsWith('workload')) {
    const id = /^([^/]+)\/([^/[]+)(?:\[(\w+)\])?$/.exec(value);
    const [, namespace, workload, kind] = id ?? [];
    if (namespace !== undefined && workload !== undefined && !/^[A-Z]/.test(namespace)) {
      const own: [string, string] = [name, kind === undefined ? workload : `${kind}/${workload}`];
      // Turned round, both together would turn away more than the one workload.
      return chip.not ? [own] : [[name.replace('workload', 'namespace'), namespace], own];
    }
  }
  return [[name, value]];
}

/** As a shell takes it for one word. */
export function quoted(text: string): string {
  return /^[\w./:=@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
