import type { MapEdge } from '../api/types';

/** What an edge may be, the weightiest first. */
export const LAYERS = ['denied', 'staged', 'unprotected', 'seen', 'unused', 'allowed'] as const;
export type Layer = (typeof LAYERS)[number];

export interface LayerText {
  name: string;
  sign: string;
  help: string;
  /** Needs flows. */
  watched: boolean;
}

export const LAYER_TEXT: Record<Layer, LayerText> = {
  allowed: { name: 'Allowed', sign: '✓', help: 'A rule of a policy allows connections.', watched: false },
  seen: { name: 'Seen', sign: '●', help: 'Connections were seen and let through.', watched: true },
  denied: { name: 'Denied', sign: '✕', help: 'Connections were seen and denied.', watched: true },
  staged: { name: 'Staged', sign: '◇', help: 'Connections that staged policies would deny.', watched: true },
  unused: { name: 'Never used', sign: '○', help: 'Allowed, and not seen in the window.', watched: true },
  unprotected: {
    name: 'Unprotected',
    sign: '!',
    help: 'Allowed only because no policy has a say.',
    watched: false,
  },
};

/** What needs somebody's eye, and never hides. */
export function isPressing(layer: Layer): boolean {
  return layer === 'denied' || layer === 'staged';
}

/** What lies below what: what is really used is never hidden by anything else. */
export const DRAWN: readonly Layer[] = ['allowed', 'unused', 'unprotected', 'denied', 'staged', 'seen'];

/** The order in which people read them. */
export const LAYER_ORDER: readonly Layer[] = ['allowed', 'seen', 'denied', 'staged', 'unused', 'unprotected'];

export const DEFAULT_LAYERS: readonly Layer[] = ['allowed', 'seen', 'denied', 'staged', 'unprotected'];

/** Reads the layers of an address; without any, those that are on at first. `none` is no layer at all. */
export function layersOf(values: readonly string[]): ReadonlySet<Layer> {
  if (values.length === 0) return new Set(DEFAULT_LAYERS);
  const names = values.flatMap((value) => value.split(','));
  return new Set(LAYERS.filter((layer) => names.includes(layer)));
}

/** Writes layers into an address; nothing for those that are on at first. */
export function layersParam(layers: ReadonlySet<Layer>): string | undefined {
  const on = LAYER_ORDER.filter((layer) => layers.has(layer));
  if (on.length === DEFAULT_LAYERS.length && DEFAULT_LAYERS.every((layer) => layers.has(layer)))
    return undefined;
  return on.length === 0 ? 'none' : on.join(',');
}

/** All that an edge is. */
export function facts(edge: MapEdge): Layer[] {
  const seen = edge.seen;
  const allowed = edge.allowed !== '' && edge.allowed !== 'none';
  return LAYERS.filter((layer) => {
    switch (layer) {
      case 'denied':
        return (seen?.denied ?? 0) > 0;
      case 'staged':
        return (seen?.staged ?? 0) > 0;
      case 'seen':
        return (seen?.allowed ?? 0) > 0;
      case 'unprotected':
        return edge.unprotected;
      case 'unused':
        return allowed && !edge.unprotected && seen !== undefined && seen.allowed === 0;
      case 'allowed':
        return allowed && !edge.unprotected;
    }
  });
}

/**
 * What an edge is drawn as: the weightiest of what is on, nothing when all that it is is off. Denials on other ports
 * don't make an edge that policy allows a denied one.
 */
export function look(edge: MapEdge, on: ReadonlySet<Layer>): Layer | undefined {
  const shown = facts(edge).filter((layer) => on.has(layer));
  return (edge.allowed === '' ? undefined : shown.find((layer) => layer !== 'denied')) ?? shown[0];
}
