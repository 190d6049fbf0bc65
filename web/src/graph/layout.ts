/** Places of boxes and routes of links: what a layout engine gives, and how it is kept. */
import type { Item, Scene } from "./scene";

export interface Box {
  x: number;
  y: number;
  w: number;
  h: number;
}

/** The size of a box before it is placed. */
export type Size = Pick<Box, "w" | "h">;

export interface Layout {
  /** Items and frames by id. */
  boxes: ReadonlyMap<string, Box>;
  /** The corners of each link, as x, y, x, y, ... */
  routes: ReadonlyMap<string, readonly number[]>;
}

/** A layout engine. */
export type Engine = (scene: Scene, sizes: ReadonlyMap<string, Size>) => Promise<Layout>;

/** The height of a frame's title, and the space inside of its border. */
export const TITLE = 30, INSET = 14;

/** Returns where the links of an item enter its upper edge: operands in order, the main one in the middle.
 *
 * So the main path of a network is one straight line.
 */
export function entries(scene: Scene, item: Item, width: number): number[] {
  const links = scene.ins.get(item.id) ?? [];
  const from = links.map((link) => scene.by.get(link.from) as Item);
  const weight = ({ kind, node }: Item) =>
    node + 1e6 * { operation: 3, layer: 3, block: 3, input: 2, small: 1, parameter: 0 }[kind];
  const main = from.reduce((best, x, k) => (weight(x) > weight(from[best]!) ? k : best), 0);
  const right = links.length - 1 - main;
  return links.map((_, k) => {
    const part = k < main ? -(main - k) / (main + 1) : k > main ? (k - main) / (right + 1) : 0;
    return Math.round(width * (0.5 + 0.46 * part));
  });
}

/** Keeps the latest layouts by a text; asks the first engine, and the second where that fails. */
export class Layouts {
  readonly #kept = new Map<string, Promise<Layout>>();

  constructor(readonly first: Engine, readonly second: Engine, readonly most = 24) {}

  of(key: string, scene: Scene, sizes: ReadonlyMap<string, Size>): Promise<Layout> {
    const before = this.#kept.get(key);
    if (before) return before;
    const made = this.first(scene, sizes).catch(() => this.second(scene, sizes));
    this.#kept.set(key, made);
    const oldest = this.#kept.keys().next().value;
    if (this.#kept.size > this.most && oldest !== undefined) this.#kept.delete(oldest);
    return made;
  }
}

/** The smallest box around some. */
export function around(boxes: Iterable<Box>): Box {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const { x, y, w, h } of boxes) {
    left = Math.min(left, x);
    top = Math.min(top, y);
    right = Math.max(right, x + w);
    bottom = Math.max(bottom, y + h);
  }
  return right < left ? { x: 0, y: 0, w: 0, h: 0 } : { x: left, y: top, w: right - left, h: bottom - top };
}

/** A layout moved. */
export function moved(layout: Layout, dx: number, dy: number): Layout {
  if (!dx && !dy) return layout;
  const boxes = new Map([...layout.boxes].map(([id, b]) => [id, { ...b, x: b.x + dx, y: b.y + dy }]));
  const shift = (n: number, k: number) => n + (k % 2 ? dy : dx);
  const routes = new Map([...layout.routes].map(([id, route]) => [id, route.map(shift)]));
  return { boxes, routes };
}

/** The path of a route, its corners rounded. */
export function path(route: readonly number[], radius = 7): string {
  if (route.length < 4) return "";
  const at = (k: number) => [route[2 * k]!, route[2 * k + 1]!] as const;
  const count = route.length / 2;
  const f = (n: number) => Math.round(n * 10) / 10;
  let text = `M${f(route[0]!)} ${f(route[1]!)}`;
  for (let k = 1; k < count - 1; k++) {
    const [a, b, c] = [at(k - 1), at(k), at(k + 1)];
    const before = Math.hypot(b[0] - a[0], b[1] - a[1]), after = Math.hypot(c[0] - b[0], c[1] - b[1]);
    const r = Math.min(radius, before / 2, after / 2);
    if (r < 0.5) { text += `L${f(b[0])} ${f(b[1])}`; continue; }
    const to = (p: readonly [number, number], d: number) => [b[0] + (p[0] - b[0]) * r / d, b[1] + (p[1] - b[1]) * r / d];
    const [p, q] = [to(a, before), to(c, after)];
    text += `L${f(p[0]!)} ${f(p[1]!)}Q${f(b[0])} ${f(b[1])} ${f(q[0]!)} ${f(q[1]!)}`;
  }
  return `${text}L${f(at(count - 1)[0])} ${f(at(count - 1)[1])}`;
}
