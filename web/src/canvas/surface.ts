import type { Size } from './viewport';

/** Draws on demand: however often it is asked for, once a frame. */
export class Redraw {
  private frame = 0;

  constructor(private readonly draw: () => void) {}

  ask(): void {
    if (this.frame !== 0) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  stop(): void {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
  }
}

/** Makes a canvas as large as its place in device pixels, and returns its context with CSS pixels as unit. */
export function prepare(canvas: HTMLCanvasElement, size: Size): CanvasRenderingContext2D | undefined {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.max(1, Math.round(size.width * ratio));
  const height = Math.max(1, Math.round(size.height * ratio));
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext('2d') ?? undefined;
  context?.setTransform(ratio, 0, 0, ratio, 0, 0);
  context?.clearRect(0, 0, size.width, size.height);
  return context;
}

/** Tells the size of an element now and whenever it changes. Returns what ends that. */
export function watchSize(element: HTMLElement, tell: (size: Size) => void): () => void {
  const observer = new ResizeObserver(() => {
    tell({ width: element.clientWidth, height: element.clientHeight });
  });
  observer.observe(element);
  return () => observer.disconnect();
}

const CUT_TEXTS = 4000;
const cut = new Map<string, string>();

/** A text that fits the width, cut short with … where it must be. */
export function fitted(context: CanvasRenderingContext2D, text: string, width: number): string {
  const key = `${context.font}\n${Math.floor(width)}\n${text}`;
  const known = cut.get(key);
  if (known !== undefined) return known;
  const result = shorten(context, text, width);
  if (cut.size >= CUT_TEXTS) cut.clear();
  cut.set(key, result);
  return result;
}

function shorten(context: CanvasRenderingContext2D, text: string, width: number): string {
  if (context.measureText(text).width <= width) return text;
  let low = 0;
  let high = text.length;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (context.measureText(`${text.slice(0, middle)}…`).width <= width) low = middle;
    else high = middle - 1;
  }
  return low === 0 ? '' : `${text.slice(0, low)}…`;
}
