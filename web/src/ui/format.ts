// Numbers, times and names as people read them.
import type { Endpoint, Losses, Place } from '../api/types';

const GROUPS = new Intl.NumberFormat('en-GB');

/** `12,345`. */
export function count(value: number): string {
  return GROUPS.format(value);
}

/** `1 policy`, `12,345 policies`. */
export function counted(value: number, singular: string, plural = `${singular}s`): string {
  return `${count(value)} ${value === 1 ? singular : plural}`;
}

/** What the page is about, in a word or two: of files the last part of each path, which tells most. */
export function called(name: string, origin: string): string {
  if (origin !== 'files') return name;
  const last = (path: string) => path.replace(/\/+$/, '').split('/').pop() || path;
  return name.split(', ').map(last).join(', ');
}

/** `TCP 443`; protocols without ports, such as ICMP, have 0 for one. */
export function onPort(protocol: string, port: number): string {
  return port > 0 ? `${protocol} ${port}` : protocol;
}

/** `1.5 MiB`. */
export function bytes(value: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024;
    at += 1;
  }
  return `${at === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[at]}`;
}

/** `just now`, `40 s ago`, `5 min ago`, `3 h ago`, `2 days ago`. */
export function ago(time: string, now: Date): string {
  const seconds = (now.getTime() - new Date(time).getTime()) / 1000;
  if (Number.isNaN(seconds)) return time;
  if (seconds < 5) return 'just now';
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${counted(Math.floor(seconds / 86_400), 'day')} ago`;
}

/** The time of day, and the day where it isn't today: `10:41:11`, `22 Nov 10:41:11`. */
export function clock(time: string, now: Date, millis = false): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return time;
  const two = (value: number) => String(value).padStart(2, '0');
  let text = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  if (millis) text += `.${String(date.getMilliseconds()).padStart(3, '0')}`;
  if (date.toDateString() === now.toDateString()) return text;
  return `${date.getDate()} ${MONTHS[date.getMonth()]} ${text}`;
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** `shop/web`, `node a`, `internet`: a place in few words. */
export function place(it: Place): string {
  if (it.kind === 'Outside' || it.kind === 'Node') return it.id;
  if (it.kind === 'Namespace') return it.name;
  return it.namespace === '' ? it.name : `${it.namespace}/${it.name}`;
}

/** An end of a flow: the workload's name, or what is known. */
export function end(it: Endpoint): string {
  switch (it.kind) {
    case 'pod':
      return `${it.namespace}/${it.pod}`;
    case 'node':
      return `node ${it.node}`;
    case 'outside':
      return it.dns?.[0] ?? (it.name && it.name !== 'outside' ? it.name : it.ip);
  }
}

const LOST: Readonly<Record<string, string>> = {
  kernel: 'lost because the kernel’s buffer was full',
  suppressed: 'denials counted, not reported one by one',
  disk: 'not written to disk in time',
  export: 'not exported',
  nodes: 'nodes not heard',
};

/** What is missing, one sentence each; empty: nothing. */
export function losses(lost: Losses): string[] {
  return Object.entries(lost)
    .filter(([, value]) => value > 0)
    .map(([name, value]) => `${count(value)} ${LOST[name] ?? name}`);
}

/** What is really missing: what was only counted is not. */
export function missing(lost: Losses): number {
  return Object.entries(lost).reduce((sum, [name, value]) => sum + (name === 'suppressed' ? 0 : value), 0);
}

/** A share as a whole percentage that is 0 or 100 only when it is exact. */
export function percent(part: number, whole: number): string {
  if (whole === 0) return '–';
  if (part === 0) return '0%';
  if (part === whole) return '100%';
  return `${Math.min(99, Math.max(1, Math.round((100 * part) / whole)))}%`;
}
