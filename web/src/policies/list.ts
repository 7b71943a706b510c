// Which policies are listed.
import type { PolicySummary } from '../api/types';

/** What a list may be narrowed to. */
export const SHOWS = {
  all: 'all',
  findings: 'with findings',
  staged: 'staged',
  unused: 'nothing used them',
} as const;
export type Show = keyof typeof SHOWS;

export function asShow(text: string | undefined): Show {
  return text !== undefined && Object.hasOwn(SHOWS, text) ? (text as Show) : 'all';
}

/** Those that fit, in their order: the one in which they are asked. */
export function narrowed(all: readonly PolicySummary[], show: Show, text: string): PolicySummary[] {
  const words = text
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '');
  return all.filter((it) => {
    const name = `${it.kind} ${it.namespace}/${it.name} ${it.tier}`.toLowerCase();
    return fits(it, show) && words.every((word) => name.includes(word));
  });
}

function fits(it: PolicySummary, show: Show): boolean {
  switch (show) {
    case 'all':
      return true;
    case 'findings':
      return it.findings > 0;
    case 'staged':
      return it.staged;
    case 'unused':
      return it.hits === 0;
  }
}

/** How many there are of each. */
export function counts(all: readonly PolicySummary[]): Record<Show, number> {
  const of = (show: Show) => all.filter((it) => fits(it, show)).length;
  return { all: all.length, findings: of('findings'), staged: of('staged'), unused: of('unused') };
}

/** `shop/web`, or the name of what belongs to no namespace. */
export function title(it: PolicySummary): string {
  return it.namespace === '' ? it.name : `${it.namespace}/${it.name}`;
}

/** `incoming, outgoing`. */
export function directions(it: PolicySummary): string {
  return (
    [it.ingress ? 'incoming' : '', it.egress ? 'outgoing' : ''].filter((text) => text !== '').join(', ') ||
    'none'
  );
}
