// What the posture's address says.
import type { Finding, Place } from '../api/types';
import { one, type Patch, type Route } from '../route';

/** Lists that numbers lead to. */
export const SECTIONS = ['namespaces', 'exposed', 'denials', 'disagreements', 'findings', 'losses'] as const;

/** A connection whose why is shown. */
export function selection(from: Place, to: Place, port: string): Patch {
  return { from: from.end, to: to.end, port };
}

export function fromSelection(
  route: Route,
): { from: string; to: string; port: string | undefined } | undefined {
  const [from, to] = [one(route, 'from'), one(route, 'to')];
  return from === undefined || to === undefined ? undefined : { from, to, port: one(route, 'port') };
}

/** Findings about objects of a namespace; empty: all. */
export function findingsOf(all: readonly Finding[], namespace: string): readonly Finding[] {
  return namespace === '' ? all : all.filter((it) => it.object.namespace === namespace);
}
