/** Moves boxes from one layout to the next. */
import type { Face } from "./faces";
import { around, moved, type Box, type Layout } from "./layout";
import type { Frame, Item, Scene } from "./scene";

const TIME = 320;

/** A scene with its layout, as it is drawn in a moment. */
export interface Shown {
  scene: Scene;
  layout: Layout;
  faces: ReadonlyMap<string, Face>;
  /** 0 .. 1: how far what is new has appeared. */
  come: number;
  /** The ids that are new. */
  fresh: ReadonlySet<string>;
}

export const still = (): boolean => matchMedia("(prefers-reduced-motion: reduce)").matches;

export class Motion {
  shown = $state.raw<Shown | null>(null);
  /** The layout that the motion leads to. */
  goal = $state.raw<Layout | null>(null);
  #frame = 0;

  /** Shows a layout; the box or frame `anchor` stays where it is. */
  show(scene: Scene, faces: ReadonlyMap<string, Face>, layout: Layout, anchor: string | null): void {
    cancelAnimationFrame(this.#frame);
    const before = this.shown;
    const to = before ? anchored(before.layout, layout, anchor) : layout;
    this.goal = to;
    const rest = { scene, faces, layout: to, come: 1, fresh: new Set<string>() };
    if (!before || still() || scene.items.length > 1500) {
      this.shown = rest;
      return;
    }
    const starts = origins(before, scene, to);
    const fresh = new Set([...to.boxes.keys(), ...to.routes.keys()].filter((id) =>
      !before.layout.boxes.has(id) && !sameCorners(before.layout, to, id)));
    const begin = performance.now();
    const tick = (now: number) => {
      const part = Math.min(1, Math.max(0, (now - begin) / TIME));
      if (part >= 1) {
        this.shown = rest;
        return;
      }
      this.shown = { scene, faces, layout: between(before.layout, starts, to, eased(part)), come: part, fresh };
      this.#frame = requestAnimationFrame(tick);
    };
    tick(begin);
  }

  stop(): void {
    cancelAnimationFrame(this.#frame);
  }
}

function eased(t: number): number {
  return t < 0.5 ? 4 * t ** 3 : 1 - (2 - 2 * t) ** 3 / 2;
}

/** The new layout, moved so that the anchor's upper edge stays in place. */
function anchored(before: Layout, layout: Layout, anchor: string | null): Layout {
  const was = anchor === null ? undefined : before.boxes.get(anchor);
  const is = anchor === null ? undefined : layout.boxes.get(anchor);
  if (!was || !is) {
    const [a, b] = [around(before.boxes.values()), around(layout.boxes.values())];
    return moved(layout, a.x + a.w / 2 - b.x - b.w / 2, a.y - b.y);
  }
  return moved(layout, was.x + was.w / 2 - is.x - is.w / 2, was.y - is.y);
}

/** Where each box begins: its place before, or in what held it, or in what it held. */
function origins(before: Shown, scene: Scene, layout: Layout): Map<string, Box> {
  const starts = new Map<string, Box>();
  for (const [id, box] of layout.boxes) {
    const was = before.layout.boxes.get(id) ?? holder(before, scene, id);
    if (was) starts.set(id, before.layout.boxes.has(id) ? was : inside(was, box));
  }
  return starts;
}

/** The box, before, of what now frames an item, or of what an item now holds. */
function holder(before: Shown, scene: Scene, id: string): Box | undefined {
  let at: Item | Frame | undefined = scene.by.get(id);
  while (at && at.frame !== null) {
    const box = before.layout.boxes.get(at.frame);
    if (box) return box;
    at = scene.by.get(at.frame);
  }
  const held = scene.by.get(id)?.nodes.at(-1);
  const item = held === undefined ? undefined : before.scene.of.get(held);
  return item && before.layout.boxes.get(item.id);
}

function inside(home: Box, box: Box): Box {
  return { x: home.x + home.w / 2 - box.w / 2, y: home.y + home.h / 2 - box.h / 2, w: box.w, h: box.h };
}

function sameCorners(before: Layout, after: Layout, id: string): boolean {
  return before.routes.has(id) && before.routes.get(id)!.length === after.routes.get(id)?.length;
}

function between(before: Layout, starts: ReadonlyMap<string, Box>, after: Layout, part: number): Layout {
  const mix = (a: number, b: number) => a + (b - a) * part;
  const boxes = new Map<string, Box>();
  for (const [id, b] of after.boxes) {
    const a = starts.get(id) ?? b;
    boxes.set(id, { x: mix(a.x, b.x), y: mix(a.y, b.y), w: mix(a.w, b.w), h: mix(a.h, b.h) });
  }
  const routes = new Map<string, readonly number[]>();
  for (const [id, route] of after.routes) {
    const was = sameCorners(before, after, id) ? before.routes.get(id)! : route;
    routes.set(id, route.map((n, k) => mix(was[k]!, n)));
  }
  return { boxes, routes };
}
