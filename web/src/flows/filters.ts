// Filters of flows: in the address, as chips, as facets, and on a command line.
import type { Params, Patch, Route } from '../route';

/** The filters of `podgate observe`, with what they mean; each may have `not-` in front. */
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
  'to-port': 'port of the destination',
  'from-port': 'port of the source',
  port: 'port of either end',
  protocol: 'protocol',
  policy: 'policy that decided or isolates',
  rule: 'rule that decided',
  'traffic-direction': 'direction that was decided: ingress, egress',
  label: 'labels of either end',
  'from-label': 'labels of the source',
  'to-label': 'labels of the destination',
  service: 'Service by which either end was asked for',
  'from-service': 'Service by which the source was asked for',
  'to-service': 'Service by which the destination was asked for',
  ip: 'address of either end',
  'from-ip': 'address of the source',
  'to-ip': 'address of the destination',
  'snat-ip': 'address by which the destination was asked for',
  fqdn: 'name in DNS of either end',
  'from-fqdn': 'name in DNS of the source',
  'to-fqdn': 'name in DNS of the destination',
  'node-name': 'node that decided',
  'drop-reason-desc': 'why it was dropped: POLICY_DENIED, POLICY_DENY',
  'tcp-flags': 'flags of the packet, such as SYN,ACK',
  ipv4: 'IPv4',
  ipv6: 'IPv6',
  'ip-version': 'version of IP: v4, v6',
  type: 'all (policy-verdict), denied (drop), allowed (trace)',
  identity: 'identity of either end',
  'from-identity': 'identity of the source',
  'to-identity': 'identity of the destination',
  uuid: 'id of the flow',
  staged: 'staged policies decide otherwise',
  cut: 'cut by a policy change',
};

/** Those without a value to speak of. */
export const SWITCHES: readonly string[] = ['ipv4', 'ipv6', 'staged', 'cut'];

/** A filter that is set. */
export interface Chip {
  /** Without `not-`. */
  name: string;
  value: string;
  not: boolean;
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

/** What somebody types: `namespace:shop`, `!to-port:53`, `staged`; `undefined`: that is none. */
export function typed(text: string): Chip | undefined {
  const match = /^\s*(!|not[ -])?([a-z-]+[46]?)\s*(?:[:=]\s*(.*))?$/.exec(text);
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
    if (chip.not) parts.push('--not');
    parts.push(`--${chip.name}`);
    if (!SWITCHES.includes(chip.name)) parts.push(quoted(chip.value));
  }
  return parts.join(' ');
}

/** As a shell takes it for one word. */
export function quoted(text: string): string {
  return /^[\w./:=@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
