import type { Box } from '../canvas/viewport';
import { SAMPLES, distance } from './geometry';

/** Edges whose distances differ by less than this part of the reach run together, for who points there. */
const TOGETHER = 1 / 8;

/** What is near a point: a grid of square cells with the nodes and the edges that touch each. */
export class Grid {
  private readonly side: number;
  private readonly columns: number;
  private readonly lines: number;
  private readonly nodesOf = new Map<number, number[]>();
  private readonly edgesOf = new Map<number, number[]>();

  constructor(
    private readonly world: Box,
    private readonly nodes: readonly Box[],
    private readonly points: Float32Array,
  ) {
    this.side = Math.max(32, Math.sqrt((world.w * world.h) / 8192));
    this.columns = Math.max(1, Math.ceil(world.w / this.side));
    this.lines = Math.max(1, Math.ceil(world.h / this.side));
    nodes.forEach((node, index) => {
      for (let line = this.line(node.y); line <= this.line(node.y + node.h); line += 1) {
        for (let column = this.column(node.x); column <= this.column(node.x + node.w); column += 1) {
          put(this.nodesOf, line * this.columns + column, index);
        }
      }
    });
    const stride = 2 * SAMPLES;
    for (let edge = 0; edge * stride < points.length; edge += 1) {
      for (let at = 0; at + 1 < SAMPLES; at += 1) this.stretch(edge, edge * stride + 2 * at);
    }
  }

  /** The node at a point. Later nodes lie above earlier ones. */
  node(x: number, y: number): number | undefined {
    const near = this.nodesOf.get(this.line(y) * this.columns + this.column(x)) ?? [];
    return near.findLast((index) => {
      const node = this.nodes[index];
      return node !== undefined && x >= node.x && x <= node.x + node.w && y >= node.y && y <= node.y + node.h;
    });
  }

  /**
   * The edge that is nearest to a point, if one that counts is within reach. Of those that run together, the one that is
   * drawn above the others is meant: `height` tells them apart, and is `undefined` for what doesn't count.
   */
  edge(
    x: number,
    y: number,
    reach: number,
    height: (edge: number) => number | undefined,
  ): number | undefined {
    const near: { edge: number; far: number; height: number }[] = [];
    const asked = new Set<number>();
    for (let line = this.line(y - reach); line <= this.line(y + reach); line += 1) {
      for (let column = this.column(x - reach); column <= this.column(x + reach); column += 1) {
        for (const edge of this.edgesOf.get(line * this.columns + column) ?? []) {
          if (asked.has(edge)) continue;
          asked.add(edge);
          const high = height(edge);
          if (high === undefined) continue;
          const far = this.far(edge, x, y);
          if (far <= reach) near.push({ edge, far, height: high });
        }
      }
    }
    const together = Math.min(...near.map(({ far }) => far)) + reach * TOGETHER;
    const alike = near.filter(({ far }) => far <= together);
    alike.sort((a, b) => b.height - a.height || a.far - b.far || b.edge - a.edge);
    return alike[0]?.edge;
  }

  private far(edge: number, x: number, y: number): number {
    const { points } = this;
    let least = Infinity;
    const from = edge * 2 * SAMPLES;
    for (let at = from; at + 3 < from + 2 * SAMPLES; at += 2) {
      least = Math.min(least, distance(x, y, points[at]!, points[at + 1]!, points[at + 2]!, points[at + 3]!));
    }
    return least;
  }

  private stretch(edge: number, at: number): void {
    const [ax, ay, bx, by] = this.points.subarray(at, at + 4) as unknown as [number, number, number, number];
    const steps = Math.max(1, Math.ceil(Math.hypot(bx - ax, by - ay) / (this.side / 2)));
    for (let step = 0; step <= steps; step += 1) {
      const x = ax + ((bx - ax) * step) / steps;
      const y = ay + ((by - ay) * step) / steps;
      put(this.edgesOf, this.line(y) * this.columns + this.column(x), edge);
    }
  }

  private column(x: number): number {
    return Math.min(this.columns - 1, Math.max(0, Math.floor((x - this.world.x) / this.side)));
  }

  private line(y: number): number {
    return Math.min(this.lines - 1, Math.max(0, Math.floor((y - this.world.y) / this.side)));
  }
}

function put(cells: Map<number, number[]>, cell: number, index: number): void {
  const there = cells.get(cell);
  if (there === undefined) cells.set(cell, [index]);
  else if (there[there.length - 1] !== index) there.push(index);
}
