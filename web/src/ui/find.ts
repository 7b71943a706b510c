// Finding by typing: what one types may be parts of names, in any order.
import type { Place, PolicySummary } from '../api/types';
import { place } from './format';

export interface Found {
  id: string;
  /** Where it leads: a place of the map, or a policy. */
  target: 'place' | 'policy';
  title: string;
  kind: string;
}

/** What can be found, as text. */
export function entries(places: readonly Place[], policies: readonly PolicySummary[]): Found[] {
  return [
    ...places.map((it): Found => ({
      id: it.id,
      target: 'place',
      title: place(it),
      kind: it.kind,
    })),
    ...policies.map((it): Found => ({
      id: it.id,
      target: 'policy',
      title: it.namespace === '' ? it.name : `${it.namespace}/${it.name}`,
      kind: it.staged ? `${it.kind}, staged` : it.kind,
    })),
  ];
}

/** Those that have all the words, the closest first; equals stay in their order. */
export function find(all: readonly Found[], text: string, limit = 12): Found[] {
  const words = text
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '');
  if (words.length === 0) return all.slice(0, limit);
  const scored: { found: Found; score: number }[] = [];
  for (const found of all) {
    const score = rank(found, words);
    if (score !== undefined) scored.push({ found, score });
  }
  return scored
    .sort((a, b) => a.score - b.score)
    .slice(0, limit)
    .map((it) => it.found);
}

function rank(found: Found, words: readonly string[]): number | undefined {
  const title = found.title.toLowerCase();
  const name = title.slice(title.lastIndexOf('/') + 1);
  const kind = found.kind.toLowerCase();
  let score = title.length / 1000;
  for (const word of words) {
    if (name === word || title === word) continue;
    if (name.startsWith(word)) score += 1;
    else if (title.startsWith(word)) score += 2;
    else if (title.includes(word)) score += 3;
    else if (kind.includes(word)) score += 4;
    else return undefined;
  }
  return score;
}
