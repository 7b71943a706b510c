// Where one looks first.
import { fit, type Size, type Viewport } from '../canvas/viewport';
import { isFar } from './paint';
import type { Scene } from './scene';

/** So many nodes are better read one by one than seen from afar. */
const FEW = 60;
/** Names and edges can be read at this scale. */
const READABLE = 0.55;
const MARGIN = 16;

/** All of the map; of a small one on a small screen rather as much as can be read, from its left upper corner. */
export function beginning(scene: Pick<Scene, 'map' | 'world'>, room: Size): Viewport {
  const whole = fit(scene.world, room);
  if (scene.map.nodes.length > FEW || !isFar({ scene, view: whole })) return whole;
  const { x, y, w, h } = scene.world;
  const from = (at: number, length: number, space: number) =>
    (length * READABLE + 2 * MARGIN < space ? (space - length * READABLE) / 2 : MARGIN) - at * READABLE;
  return { scale: READABLE, dx: from(x, w, room.width), dy: from(y, h, room.height) };
}
