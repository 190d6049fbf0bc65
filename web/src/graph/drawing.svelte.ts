/** The state of the graph view: what is folded, where all is, what has the keyboard, what is lit. */
import type { Session } from "../session.svelte";
import { elkEngine } from "./elk";
import { faces, type Face } from "./faces";
import { around, Layouts, type Box, type Layout } from "./layout";
import type { Results } from "./look";
import { computed, homes, since } from "./marks";
import { Motion } from "./motion.svelte";
import { Net, scene, type Frame, type Item, type Level, type Link, type Scene } from "./scene";
import { stacked } from "./stacked";
import { Viewport } from "./viewport.svelte";
import type { Tones } from "./tone";
import { near, step, type Direction, type Via } from "./walk";

/** The engine has this long, in milliseconds, before a simpler layout is shown: at first, and later. */
const PATIENCE = [700, 1500] as const;
/** The smallest scale at which text is read, and that of a view that begins. */
const READABLE = 0.34, BEGIN = 0.8;

export class Drawing {
  readonly net: Net;
  readonly motion = new Motion();
  readonly viewport = new Viewport();
  /** The item or frame that has the keyboard. */
  active = $state<string | null>(null);
  /** Whether the keyboard is in the graph. */
  keyboard = $state(false);
  /** The nodes that the search found. */
  found = $state.raw<readonly number[]>([]);
  #via: Via | null = null;
  #anchor: string | null = null;
  #fit = true;
  #asked = 0;
  readonly #layouts: Layouts;

  readonly open: ReadonlySet<string>;
  level: Level | null = $derived.by(() => this.net.levelOf(this.open));
  scene = $derived.by(() => scene(this.net, this.open));
  faces = $derived.by(() => faces(this.net.graph, this.scene, this.session.rows.length, this.tones() !== null));
  since = $derived.by(() => since(this.net.graph, this.session.steps));
  readonly results: Results;
  readonly #homes: ReadonlyMap<number, number>;
  far = $derived.by(() => this.viewport.k < READABLE);
  /** The item of the present step, and of the selected node. */
  current = $derived.by(() => this.#item(this.session.step?.node));
  selected = $derived.by(() => this.#item(this.session.selected));
  #hovered = $derived.by(() => this.#item(this.session.hovered));
  /** The item whose neighbours are lit. */
  focus = $derived.by(() => {
    const walked = this.keyboard && this.active ? this.shownScene.by.get(this.active) : undefined;
    return this.#hovered ?? (walked && "node" in walked ? walked : undefined) ?? this.selected;
  });
  lights = $derived.by(() => this.#lights());
  /** Whether most of the graph is out of view. */
  large = $derived.by(() => {
    const view = this.viewport.view();
    return this.bounds.w > 2 * view.w || this.bounds.h > 2 * view.h;
  });
  bounds = $derived.by(() => around((this.motion.goal?.boxes ?? new Map<string, Box>()).values()));

  /** @param tones gives what colours the items in place of their numbers; or null. */
  constructor(readonly session: Session, readonly tones: () => Tones | null = () => null) {
    this.net = new Net(session.document.graph);
    this.open = $derived(unfolded(this.net, session.fold));
    const { gradients, updates } = this.net.graph;
    this.results = {
      gradient: new Map(gradients.map((g) => [g.node, g.gradient])),
      update: new Map(updates.map((u) => [u.parameter, u.new])),
    };
    this.#homes = homes(this.net.graph);
    const packed = document.getElementById("chainrule-layout")?.textContent ?? "";
    this.#layouts = new Layouts(elkEngine(packed), async (s, z) => stacked(s, z));
  }

  /** The scene that is on the screen: the last one that has a layout. */
  get shownScene() {
    return this.motion.shown?.scene ?? this.scene;
  }

  #item(node: number | null | undefined): Item | undefined {
    return node === null || node === undefined ? undefined : this.shownScene.of.get(this.#homes.get(node) ?? node);
  }

  /** Lays the scene out, then moves to it. */
  async lay(): Promise<void> {
    const { scene, faces } = this;
    const asked = ++this.#asked;
    const sizes = new Map([...faces].map(([id, face]) => [id, face.size]));
    const made = this.#layouts.of(`${[...this.open].sort().join()} ${this.session.rows.length}`, scene, sizes);
    const slow = setTimeout(() => {
      if (asked === this.#asked) this.#show(scene, faces, stacked(scene, sizes));
    }, PATIENCE[this.motion.shown ? 1 : 0]);
    const layout = await made;
    clearTimeout(slow);
    if (asked === this.#asked) this.#show(scene, faces, layout);
  }

  #show(scene: Scene, faces: ReadonlyMap<string, Face>, layout: Layout): void {
    const first = !this.motion.shown;
    this.motion.show(scene, faces, layout, this.#anchor);
    if (this.active === null || !scene.by.has(this.active)) this.active = this.#remaining(scene);
    if (this.#fit) this.fit(first ? 0 : 300);
    else if (this.#anchor) this.reveal(this.#anchor);
    else if (!this.#inView()) this.fit(); // folded by the address
    this.#fit = false;
    this.#anchor = null;
  }

  /** Whether any box of the layout can be seen. */
  #inView(): boolean {
    const v = this.viewport.view();
    return this.shownScene.items.some(({ id }) => {
      const b = this.motion.goal?.boxes.get(id);
      return b !== undefined && b.x < v.x + v.w && b.x + b.w > v.x && b.y < v.y + v.h && b.y + b.h > v.y;
    });
  }

  /** Where the keyboard is after what had it was folded or unfolded. */
  #remaining(scene: Scene): string | null {
    const before = this.active === null ? undefined : this.active;
    const node = before?.startsWith("n") ? Number(before.slice(1)) : this.session.selected;
    return (node === null ? undefined : scene.of.get(node)?.id) ?? scene.items[0]?.id ?? null;
  }

  /** Shows all, or as much of it as can be read: from the present step, or from the top. */
  fit(time = 300): void {
    const { bounds, viewport } = this;
    if (!viewport.width) return;
    const place = this.current && this.motion.goal?.boxes.get(this.current.id);
    viewport.fit(bounds, BEGIN, time, this.#uppermost());
    if (place && this.session.at >= 0) viewport.reveal(place, time);
  }

  #uppermost(): Box | undefined {
    const boxes = this.shownScene.items.flatMap(({ id, kind }) =>
      kind === "small" ? [] : [this.motion.goal?.boxes.get(id)]).filter((b) => b !== undefined);
    return boxes.reduce<Box | undefined>((best, b) => (best && best.y <= b.y ? best : b), undefined);
  }

  /** Shows all, however small. */
  overview(): void {
    this.viewport.fit(this.bounds);
  }

  reveal(id: string, least = 0): void {
    const box = this.motion.goal?.boxes.get(id);
    if (box) this.viewport.reveal({ ...box, h: Math.min(box.h, this.viewport.height / this.viewport.k) }, 220, least);
  }

  /** Brings into view what shows a node. */
  bring(node: number): void {
    const item = this.shownScene.of.get(node);
    if (item) this.reveal(item.id, READABLE);
  }

  setLevel(level: Level): void {
    this.#fit = true;
    this.session.fold = level;
  }

  /** Folds or unfolds a layer or block. */
  toggle(id: string): void {
    const open = new Set(this.open);
    if (!open.delete(id)) for (const x of this.net.with(id)) open.add(x);
    this.#anchor = id;
    this.active = id;
    this.session.fold = folded(this.net, open);
  }

  /** Unfolds what hides a node, and goes to it. */
  async go(node: number): Promise<void> {
    const open = this.net.around(node, this.open);
    if (open !== this.open) {
      this.session.fold = folded(this.net, open);
      await this.lay();
    }
    const item = this.shownScene.of.get(node);
    if (!item) return;
    this.session.selected = node;
    this.active = item.id;
    this.reveal(item.id, 0.8);
  }

  /** Walks from the active item by an arrow key. */
  walk(direction: Direction): void {
    const scene = this.shownScene;
    const at = this.active === null ? undefined : scene.by.get(this.active);
    if (!at) this.active = scene.items[0]?.id ?? null;
    else if (!("node" in at)) this.active = scene.items.find((x) => x.frame === at.id)?.id ?? this.active;
    else {
      const to = step(scene, at.id, direction, this.#via);
      if (!to) return;
      this.#via = to.via;
      this.active = to.to;
    }
    if (this.active !== null) this.reveal(this.active);
  }

  /** Goes to the frame around what has the keyboard; false: there is none. */
  out(): boolean {
    const at: Item | Frame | undefined = this.active === null ? undefined : this.shownScene.by.get(this.active);
    if (!at || at.frame === null) return false;
    this.active = at.frame;
    return true;
  }

  /** What Enter and a click do. */
  choose(id: string): void {
    const at = this.shownScene.by.get(id);
    if (!at) return;
    this.active = id;
    if (this.far) this.reveal(id, BEGIN);
    else if (!("node" in at) || at.kind === "layer" || at.kind === "block") this.toggle(id);
    else this.session.select(at.node);
  }

  #lights(): ReadonlyMap<string, "focus" | "reads" | "reader" | "sends"> {
    const scene = this.shownScene;
    const lights = new Map<string, "focus" | "reads" | "reader" | "sends">();
    if (!this.focus) return lights;
    const { id } = this.focus;
    for (const x of near(scene, id, "up")) lights.set(x, "reads");
    for (const x of near(scene, id, "down")) lights.set(x, "reader");
    const { step } = this.session;
    if (step?.direction === "backward" && this.focus === this.current) {
      for (const x of near(scene, id, "up")) lights.delete(x);
      for (const consumer of step.consumers) {
        const sender = scene.of.get(consumer)?.id;
        if (sender !== undefined && sender !== id) lights.set(sender, "sends");
      }
    }
    lights.set(id, "focus");
    return lights;
  }

  /** Whether a value, or in backward mode a gradient, has gone over an edge. */
  carries(link: Link): boolean {
    const { at, step } = this.session;
    const backward = step?.direction === "backward";
    return link.pairs.some(([from, to]) => computed(this.since, backward ? from : to, at, step?.direction ?? null));
  }

  /** The light on an edge: between the item in focus and one that is lit. */
  edgeLight(from: string, to: string): "reads" | "reader" | "sends" | "" {
    const id = this.focus?.id;
    const light = to === id ? this.lights.get(from) : from === id ? this.lights.get(to) : undefined;
    return light === undefined || light === "focus" ? "" : light;
  }
}

/** What a text of the address unfolds: a level's name, or ids; empty: the level to begin with. */
export function unfolded(net: Net, text: string): ReadonlySet<string> {
  if (text === "network" || text === "layers" || text === "arithmetic") return net.level(text);
  if (!text) return net.level(net.first());
  const every = net.level("arithmetic");
  return new Set(text.split(".").filter((id) => every.has(id)));
}

/** The text of what is unfolded. */
export function folded(net: Net, open: ReadonlySet<string>): string {
  return net.levelOf(open) ?? [...open].join(".");
}
