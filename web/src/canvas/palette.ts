import type { Layer } from '../map/layers';

/** Colours of the theme, as a canvas needs them. */
export interface Palette {
  /** Behind everything. */
  ground: string;
  /** A namespace. */
  box: string;
  line: string;
  node: string;
  hub: string;
  edge: string;
  text: string;
  soft: string;
  warn: string;
  focus: string;
  focusSoft: string;
  sunken: string;
  layer: Record<Layer, string>;
  verdict: Record<'allowed' | 'denied' | 'partly', { ink: string; fill: string }>;
}

/** Reads the theme that is in force. `sans` is its font. */
export function readPalette(): { palette: Palette; sans: string } {
  const style = getComputedStyle(document.documentElement);
  const the = (name: string) => style.getPropertyValue(name).trim();
  return {
    palette: {
      ground: the('--bg'),
      box: the('--surface'),
      line: the('--line'),
      node: the('--surface'),
      hub: the('--sunken'),
      edge: the('--line-strong'),
      text: the('--text'),
      soft: the('--muted'),
      warn: the('--open'),
      focus: the('--accent'),
      focusSoft: the('--accent-soft'),
      sunken: the('--sunken'),
      layer: {
        allowed: the('--line-strong'),
        seen: the('--allowed'),
        denied: the('--denied'),
        staged: the('--staged'),
        unused: the('--muted'),
        unprotected: the('--partly'),
      },
      verdict: {
        allowed: { ink: the('--allowed'), fill: the('--allowed-soft') },
        denied: { ink: the('--denied'), fill: the('--denied-soft') },
        partly: { ink: the('--partly'), fill: the('--partly-soft') },
      },
    },
    sans: the('--sans') || 'sans-serif',
  };
}
