// Ends as people type them.
import type { Place } from '../api/types';
import { place } from '../ui/format';

/** What is offered: places that connections have as ends, by the names that the page shows. */
export function names(places: readonly Place[]): string[] {
  return [...new Set(places.filter((it) => it.end !== '').map(place))];
}

/** What /why accepts for it: of a name that the page shows the place's end, and else what was typed. */
export function endOf(text: string, places: readonly Place[]): string {
  const wanted = text.trim();
  const found = places.filter((it) => it.end !== '' && (place(it) === wanted || it.id === wanted));
  // Several of one name are for the server to tell apart: it says what to write.
  return found.length === 1 ? (found[0]?.end ?? wanted) : wanted;
}
