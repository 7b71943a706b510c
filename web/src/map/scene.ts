import type { MapEdge, MapNode, MapView } from '../api/types';
import type { Box } from '../canvas/viewport';
import { counted } from '../ui/format';
import { SAMPLES, route, sample, type Curve } from './geometry';
import { Grid } from './grid';
import { LAYERS, isPressing, look, type Layer } from './layers';

/** A hub that a node's folded edges lead to. */
export interface Badge {
  hub: number;
  sign: string;
}

/** A map, made ready for drawing and for asking what is where. */
export interface Scene {
  map: MapView;
  /** All of it, with a margin. */
  world: Box;
  curves: readonly Curve[];
  boxes: readonly Box[];
  grid: Grid;
  /** Edges of each node, both ways. */
  edgesOf: readonly (readonly number[])[];
  /** Hubs that folded edges of each node lead to. */
  badges: readonly (readonly Badge[])[];
  /** By id, and by what questions call it. */
  byId: ReadonlyMap<string, number>;
  /** Whether flows are watched at all. */
  watched: boolean;
}

/** One letter for each kind of hub, in its badge. */
export const HUB_SIGN: Record<string, string> = {
  dns: 'D',
  ingress: 'I',
  monitoring: 'M',
  outside: 'O',
  hub: 'H',
};

export const HUB_TEXT: Record<string, string> = {
  dns: 'DNS',
  ingress: 'ingress',
  monitoring: 'monitoring',
  outside: 'outside of the cluster',
  hub: 'hub',
};

export function scene(map: MapView): Scene {
  const boxes: Box[] = map.nodes.map(({ x, y, w, h }) => ({ x, y, w, h }));
  const nowhere: Box = { x: 0, y: 0, w: 0, h: 0 };
  const curves = map.edges.map((edge) => route(boxes[edge.from] ?? nowhere, boxes[edge.to] ?? nowhere));
  const points = new Float32Array(map.edges.length * SAMPLES * 2);
  curves.forEach((curve, index) => sample(curve, points, index * SAMPLES * 2));
  const edgesOf: number[][] = map.nodes.map(() => []);
  const badges: Badge[][] = map.nodes.map(() => []);
  map.edges.forEach((edge, index) => {
    edgesOf[edge.from]?.push(index);
    if (edge.to !== edge.from) edgesOf[edge.to]?.push(index);
    if (!edge.folded) return;
    for (const [node, hub] of [
      [edge.from, edge.to],
      [edge.to, edge.from],
    ] as const) {
      const kind = map.nodes[hub]?.hub;
      if (kind === undefined || badges[node]?.some((badge) => badge.hub === hub)) continue;
      badges[node]?.push({ hub, sign: HUB_SIGN[kind] ?? 'H' });
    }
  });
  const world = { x: 0, y: 0, w: map.width, h: map.height };
  return {
    map,
    world,
    curves,
    boxes,
    grid: new Grid(world, boxes, points),
    edgesOf,
    badges,
    // Ids win where an end reads like one.
    byId: new Map([
      ...map.nodes.map((node, index) => [node.end, index] as const),
      ...map.nodes.map((node, index) => [node.id, index] as const),
    ]),
    watched: map.edges.some((edge) => edge.seen !== undefined),
  };
}

/** What each edge is drawn as, and whether it is drawn without being asked for. */
export interface Looks {
  look: readonly (Layer | undefined)[];
  plain: readonly boolean[];
  /** Edges that policy allows, and that were denied on other ports: where it isn't one denial among many. */
  marked: readonly boolean[];
  /** How many crowded edges are not drawn, by node and by namespace. */
  foldedAt: readonly number[];
  foldedIn: readonly number[];
  /** All of them, with those that were left out of the answer. */
  folded: number;
  /** Edges between namespaces, taken together: what there is to see from afar. Most edges first. */
  bundles: readonly Bundle[];
}

/** All plain edges from one namespace to another. */
export interface Bundle {
  curve: Curve;
  count: number;
  /** The weightiest of what they are. */
  layer: Layer;
}

/**
 * Edges of hubs wait until somebody asks for them, and so do denied ones where they crowd, unless `all` of these are
 * wanted. Nothing else that was denied or would be hides.
 */
export function looks(scene: Scene, on: ReadonlySet<Layer>, all = false): Looks {
  const { nodes, edges, groups } = scene.map;
  const looked = edges.map((edge) => look(edge, on));
  const folds = (index: number) => edges[index]?.crowded === true && looked[index] === 'denied' && !all;
  const plain = edges.map((edge, index) => {
    const layer = looked[index];
    return layer !== undefined && !folds(index) && (!edge.folded || isPressing(layer));
  });
  const marked = edges.map(
    (edge, index) =>
      on.has('denied') &&
      looked[index] !== 'denied' &&
      (edge.seen?.denied ?? 0) > 0 &&
      edge.allowed !== '' &&
      !nodes[edge.from]?.crowded &&
      !nodes[edge.to]?.crowded,
  );
  const isFolding = on.has('denied') && !all;
  const foldedAt = nodes.map((node) => (isFolding ? node.crowded : 0));
  const foldedIn = groups.map(() => 0);
  edges.forEach((edge, index) => {
    if (!folds(index)) return;
    const from = nodes[edge.from]?.group ?? undefined;
    const to = nodes[edge.to]?.group ?? undefined;
    if (from !== undefined) foldedIn[from]! += 1;
    if (to !== undefined && to !== from) foldedIn[to]! += 1;
  });
  return {
    look: looked,
    plain,
    marked,
    foldedAt,
    foldedIn,
    folded: isFolding ? crowded(scene.map) : 0,
    bundles: bundles(scene, looked, plain),
  };
}

/** How many edges crowd: each is counted at both of its ends. */
export function crowded(map: MapView): number {
  return map.nodes.reduce((sum, node) => sum + node.crowded, 0) / 2;
}

function bundles(scene: Scene, looked: readonly (Layer | undefined)[], plain: readonly boolean[]): Bundle[] {
  const { groups, nodes, edges } = scene.map;
  const found = new Map<number, Bundle>();
  edges.forEach((edge, index) => {
    const layer = looked[index];
    const from = nodes[edge.from]?.group ?? undefined;
    const to = nodes[edge.to]?.group ?? undefined;
    if (layer === undefined || !plain[index] || from === undefined || to === undefined || from === to) return;
    const key = from * groups.length + to;
    const known = found.get(key);
    if (known === undefined) {
      found.set(key, { curve: route(groups[from]!, groups[to]!), count: 1, layer });
      return;
    }
    known.count += 1;
    if (LAYERS.indexOf(layer) < LAYERS.indexOf(known.layer)) known.layer = layer;
  });
  return [...found.values()].sort((a, b) => b.count - a.count);
}

/** What is lit up: a node with its edges and its neighbours, or an edge with its ends. */
export interface Lit {
  nodes: ReadonlySet<number>;
  edges: ReadonlySet<number>;
}

export type Focus = { node: number } | { edge: number };

export function lit(scene: Scene, looks: Looks, focus: Focus): Lit {
  const nodes = new Set<number>();
  const edges = new Set<number>();
  const add = (index: number) => {
    const edge = scene.map.edges[index];
    if (edge === undefined) return;
    edges.add(index);
    nodes.add(edge.from).add(edge.to);
  };
  if ('edge' in focus) add(focus.edge);
  else {
    nodes.add(focus.node);
    for (const index of scene.edgesOf[focus.node] ?? []) if (looks.look[index] !== undefined) add(index);
  }
  return { nodes, edges };
}

export function sameFocus(a: Focus | undefined, b: Focus | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  if ('node' in a) return 'node' in b && a.node === b.node;
  return 'edge' in b && a.edge === b.edge;
}

export type Way = 'left' | 'right' | 'up' | 'down';

/** The next node in a direction: near, and rather straight ahead. */
export function step(boxes: readonly Box[], from: number, way: Way): number | undefined {
  const start = boxes[from];
  if (start === undefined) return undefined;
  const x = start.x + start.w / 2;
  const y = start.y + start.h / 2;
  let best: number | undefined;
  let least = Infinity;
  boxes.forEach((box, index) => {
    if (index === from) return;
    const dx = box.x + box.w / 2 - x;
    const dy = box.y + box.h / 2 - y;
    const sideways = way === 'left' || way === 'right';
    const ahead = way === 'left' ? -dx : way === 'right' ? dx : way === 'up' ? -dy : dy;
    const aside = Math.abs(sideways ? dy : dx);
    if (ahead <= 1) return;
    const cost = ahead + 2.5 * aside;
    if (cost < least) {
      least = cost;
      best = index;
    }
  });
  return best;
}

/** The node that one starts from with the keyboard: the one nearest to the top left. */
export function first(boxes: readonly Box[]): number | undefined {
  let best: number | undefined;
  let least = Infinity;
  boxes.forEach((box, index) => {
    const cost = box.x + box.y * 2;
    if (cost < least) {
      least = cost;
      best = index;
    }
  });
  return best;
}

/** Nodes that a text finds: those whose name begins with it first, then those that have it somewhere. */
export function find(nodes: readonly MapNode[], text: string, most = 12): number[] {
  const wanted = text.trim().toLowerCase();
  if (wanted === '') return [];
  const found: { index: number; rank: number; name: string }[] = [];
  nodes.forEach((node, index) => {
    const name = node.name.toLowerCase();
    const whole = nodeTitle(node).toLowerCase();
    const rank = name.startsWith(wanted) ? 0 : whole.startsWith(wanted) ? 1 : whole.includes(wanted) ? 2 : 3;
    if (rank < 3) found.push({ index, rank, name: whole });
  });
  found.sort((a, b) => a.rank - b.rank || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  return found.slice(0, most).map(({ index }) => index);
}

/** What a node is called in a sentence. */
export function nodeTitle(node: Pick<MapNode, 'namespace' | 'name' | 'kind'>): string {
  return node.namespace === '' || node.kind === 'Namespace' ? node.name : `${node.namespace}/${node.name}`;
}

/** Whether policies can protect it. */
export function isSubject(node: Pick<MapNode, 'kind'>): boolean {
  return node.kind !== 'Outside' && node.kind !== 'Node';
}

/** A node in a sentence, for those who can't see the map. */
export function nodeSentence(scene: Scene, looks: Looks, index: number): string {
  const node = scene.map.nodes[index];
  if (node === undefined) return '';
  const edges = (scene.edgesOf[index] ?? []).filter((edge) => looks.look[edge] !== undefined);
  const denied = edges.filter((edge) => looks.look[edge] === 'denied').length;
  const others = edges.filter((edge) => looks.look[edge] !== 'denied');
  const out = others.filter((edge) => scene.map.edges[edge]?.from === index).length;
  const folded = looks.foldedAt[index] ?? 0;
  const parts = [
    `${nodeTitle(node)}, ${node.kind}`,
    ...(node.pods > 0 ? [counted(node.pods, 'pod')] : []),
    `connects to ${out}, connected to by ${others.length - out}`,
    ...(isSubject(node) && !node.ingress ? ['anybody may connect to it'] : []),
    ...(isSubject(node) && !node.egress ? ['it may connect anywhere'] : []),
    ...(denied > 0
      ? [`${counted(denied, 'edge')} where all is denied${folded > 0 ? `, ${folded} of them folded` : ''}`]
      : []),
    ...(node.findings > 0 ? [counted(node.findings, 'finding')] : []),
  ];
  return `${parts.join('; ')}.`;
}

export function edgeSentence(map: MapView, edge: MapEdge): string {
  const from = map.nodes[edge.from];
  const to = map.nodes[edge.to];
  if (from === undefined || to === undefined) return '';
  const seen = edge.seen;
  const parts = [
    `${nodeTitle(from)} to ${nodeTitle(to)}`,
    edge.unprotected
      ? `allowed on ${edge.allowed} as no policy has a say`
      : edge.allowed === ''
        ? 'not allowed'
        : `allowed on ${edge.allowed}`,
    ...(seen === undefined ? [] : [`seen ${seen.allowed}, denied ${seen.denied}`]),
    ...(edge.cut ? ['it worked before'] : []),
    ...(seen !== undefined && seen.staged > 0 ? [`staged policies would deny ${seen.staged}`] : []),
  ];
  return `${parts.join('; ')}.`;
}
