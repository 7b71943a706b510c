import type { Place } from '../api/types';
import type { Patch } from '../route';

/** The filters of /flows that are about a place: `source`, `destination`, or either end. */
export function flowsOf(place: Place, end: 'from' | 'to' | 'either'): Patch {
  const name = (field: string) => (end === 'either' ? field : `${end}-${field}`);
  switch (place.kind) {
    case 'Namespace':
      return { [name('namespace')]: place.name };
    case 'Pod':
      return { [name('pod')]: `${place.namespace}/${place.name}` };
    case 'Node':
    case 'Outside':
      return {};
    default:
      return { [name('namespace')]: place.namespace, [name('workload')]: `${place.kind}/${place.name}` };
  }
}
