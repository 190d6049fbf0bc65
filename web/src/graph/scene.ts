/** The graph as it is drawn at a state of folding: items, the frames around them, and links. */
import { transparent } from "../core/formula";
import { sizesText, type GraphForm, type LayerForm, type NodeForm } from "../document";

export type Level = "network" | "layers" | "arithmetic";

/** Small: a constant, or a node that only repeats or reshapes another. */
export type Kind = "input" | "parameter" | "operation" | "small" | "layer" | "block";

/** A box: a node, or a folded layer or block. */
export interface Item {
  /** `n` and a node, `l` and a layer, `t` and a time step of one, `b` and a block; kept when
   * something else is folded. */
  id: string;
  kind: Kind;
  name: string;
  /** The op of a node, the kind of a layer or block. */
  what: string;
  /** The node that it stands for: its own, or the last one, which is its result. */
  node: number;
  /** All nodes in it, in order. */
  nodes: readonly number[];
  /** The frame around it. */
  frame: string | null;
}

/** An unfolded layer or block, drawn around its items. */
export type Frame = Omit<Item, "node">;

/** An edge between two items. */
export interface Link {
  id: string;
  from: string;
  to: string;
  /** The place among the operands, where `to` is a node. */
  position: number;
  /** The edges that it stands for: producer and consumer. */
  pairs: readonly (readonly [from: number, to: number])[];
}

export interface Scene {
  items: readonly Item[];
  frames: readonly Frame[];
  links: readonly Link[];
  /** The item that shows a node. */
  of: ReadonlyMap<number, Item>;
  /** Items and frames by id. */
  by: ReadonlyMap<string, Item | Frame>;
  /** Links by the items that they leave and enter; operands in order. */
  outs: ReadonlyMap<string, readonly Link[]>;
  ins: ReadonlyMap<string, readonly Link[]>;
}

/** A graph of at most so many layers needs no blocks, if there is but one. */
const FEW = 40;

/** A layer, a time step of one, or a block, that can be folded. */
interface Group {
  id: string;
  name: string;
  what: string;
  nodes: number[];
  /** Whether it has no frame or box of its own: it has but one member. */
  alone: boolean;
}

/** The forward pass of a graph, with the layers and blocks around each node. */
export class Net {
  readonly forward: readonly number[];
  readonly #layer = new Map<number, Group>();
  readonly #time = new Map<number, Group>();
  readonly #block = new Map<number, Group>();
  readonly #groups: Group[] = [];

  constructor(readonly graph: GraphForm) {
    this.forward = graph.nodes.flatMap((x, k) => (x.part === "forward" ? [k] : []));
    graph.layers.forEach((form, k) => {
      const nodes = form.nodes.filter((n) => graph.nodes[n]?.part === "forward");
      const real = nodes.filter((n) => !transparent(graph, n));
      this.#add({ id: `l${k}`, name: form.name, what: form.what, nodes, alone: real.length < 2 }, this.#layer);
      for (const [time, inside] of timesOf(graph, form)) {
        const alone = inside.filter((n) => !transparent(graph, n)).length < 2;
        this.#add({ id: `t${k}_${time}`, name: `${form.name}.t${time}`, what: "one time step", nodes: inside, alone }, this.#time);
      }
    });
    const blocks = graph.blocks.filter((b) => b.layers.length > 1).length > 1 || graph.layers.length > FEW ? graph.blocks : [];
    blocks.forEach((form, k) => {
      const nodes = form.layers.flatMap((l) => graph.layers[l]?.nodes ?? []);
      this.#add({ id: `b${k}`, name: form.name, what: form.what, nodes, alone: form.layers.length < 2 }, this.#block);
    });
  }

  #add(group: Group, home: Map<number, Group>): void {
    this.#groups.push(group);
    for (const n of group.nodes) home.set(n, group);
  }

  /** The ids of what is unfolded at a level. */
  level(level: Level): ReadonlySet<string> {
    const prefixes = { network: "", layers: "b", arithmetic: "blt" }[level];
    return new Set(this.#groups.flatMap((g) => (prefixes.includes(g.id[0]!) ? [g.id] : [])));
  }

  /** The level that shows a graph at once: the finest with at most `most` boxes. */
  first(most = 40): Level {
    const real = this.forward.filter((n) => !transparent(this.graph, n)).length;
    return real <= most ? "arithmetic" : this.graph.layers.length <= most ? "layers" : this.levels[0]!;
  }

  /** The levels that differ, from the coarsest. */
  get levels(): Level[] {
    const coarse: Level[] = this.#groups.some((g) => g.id.startsWith("b") && !g.alone) ? ["network"] : [];
    return [...coarse, "layers", "arithmetic"];
  }

  /** The level of a state, if it is one. */
  levelOf(open: ReadonlySet<string>): Level | null {
    return [...this.levels].reverse().find((level) => {
      const every = this.level(level);
      return every.size === open.size && [...open].every((id) => every.has(id));
    }) ?? null;
  }

  /** What is unfolded, and the groups around a node besides. */
  around(node: number, open: ReadonlySet<string>): ReadonlySet<string> {
    const small = transparent(this.graph, node);
    const needed = this.groups(node).filter((g) => !g.alone || small).map((g) => g.id);
    return needed.every((id) => open.has(id)) ? open : new Set([...open, ...needed]);
  }

  /** The groups of a node from the outside in, each with its frame or box. */
  groups(node: number): Group[] {
    return [this.#block.get(node), this.#layer.get(node), this.#time.get(node)].filter((g) => g !== undefined);
  }

  /** The layer of a node. */
  layer(node: number): Group | undefined {
    return this.#layer.get(node);
  }

  /** What is unfolded with a layer: of a recurrent one its second time step, which reads the first. */
  with(id: string): string[] {
    const times = this.#groups.filter((g) => g.id.startsWith(`t${id.slice(1)}_`) && id.startsWith("l"));
    const shown = times[1] ?? times[0];
    return shown ? [id, shown.id] : [id];
  }
}

/** The forward nodes of a recurrent layer by time step, in order; empty of other layers. */
export function timesOf(graph: GraphForm, layer: LayerForm): Map<number, number[]> {
  const times = new Map<number, number[]>();
  if (!/ \d+ steps?$/.test(layer.what)) return times;
  for (const node of layer.nodes) {
    const form = graph.nodes[node];
    if (form?.part !== "forward" || !form.name.startsWith(`${layer.name}.t`)) continue;
    const time = /^\d+(?=\.)/.exec(form.name.slice(layer.name.length + 2));
    if (time) times.set(Number(time[0]), [...(times.get(Number(time[0])) ?? []), node]);
  }
  return new Map([...times].sort(([a], [b]) => a - b));
}

/** Returns the scene of a net, given the ids of the unfolded layers and blocks. */
export function scene(net: Net, open: ReadonlySet<string>): Scene {
  const items = new Map<string, Item & { nodes: number[] }>();
  const frames = new Map<string, Frame>();
  const of = new Map<number, Item>();
  for (const node of net.forward) {
    const place = placed(net, node, open, frames);
    const before = items.get(place.id);
    if (before) before.nodes.push(node);
    else items.set(place.id, place);
    of.set(node, items.get(place.id)!);
  }
  const ordered = [...items.values()];
  for (const item of ordered) {
    const real = item.nodes.filter((n) => !transparent(net.graph, n));
    item.node = (item.id.startsWith("n") ? real.at(-1) : undefined) ?? item.nodes.at(-1)!;
  }
  ordered.sort((a, b) => a.node - b.node);
  const links = linked(net, of);
  const outs = new Map<string, Link[]>(), ins = new Map<string, Link[]>();
  for (const link of links) {
    outs.set(link.from, [...(outs.get(link.from) ?? []), link]);
    ins.set(link.to, [...(ins.get(link.to) ?? []), link]);
  }
  const by = new Map<string, Item | Frame>([...frames, ...items]);
  return { items: ordered, frames: [...frames.values()], links, of, by, outs, ins };
}

/** The item that a node belongs to; adds the frames around it. */
function placed(
  net: Net, node: number, open: ReadonlySet<string>, frames: Map<string, Frame>,
): Item & { nodes: number[] } {
  let frame: string | null = null;
  for (const group of net.groups(node)) {
    if (!open.has(group.id)) {
      if (group.alone && group.id.startsWith("b")) continue;
      if (group.alone) return nodeItem(net.graph, alone(net.graph, group), node, frame);
      const kind = group.id.startsWith("b") ? "block" : "layer";
      return { id: group.id, kind, name: group.name, what: group.what, node, nodes: [node], frame };
    }
    if (group.alone) continue;
    const kind = group.id.startsWith("b") ? "block" : "layer";
    frames.set(group.id, { id: group.id, kind, name: group.name, what: group.what, nodes: group.nodes, frame });
    frame = group.id;
  }
  return nodeItem(net.graph, node, node, frame);
}

/** The one node that a folded layer without a box of its own is shown as. */
function alone(graph: GraphForm, group: Group): number {
  return group.nodes.filter((n) => !transparent(graph, n)).at(-1) ?? group.nodes.at(-1)!;
}

function nodeItem(graph: GraphForm, shown: number, node: number, frame: string | null) {
  const form = graph.nodes[shown]!;
  const kind: Kind = transparent(graph, shown) ? "small" : form.kind;
  return { id: `n${shown}`, kind, name: form.name, what: form.op ?? form.kind, node, nodes: [node], frame };
}

function linked(net: Net, of: ReadonlyMap<number, Item>): Link[] {
  const links = new Map<string, Link & { pairs: (readonly [number, number])[] }>();
  for (const node of net.forward) {
    const to = of.get(node)!;
    net.graph.nodes[node]!.operands?.forEach((operand, position) => {
      const from = of.get(operand);
      if (!from || from === to) return;
      const single = to.nodes.length === 1;
      const id = single ? `${from.id}>${to.id}:${position}` : `${from.id}>${to.id}`;
      const before = links.get(id);
      if (before) before.pairs.push([operand, node]);
      else links.set(id, { id, from: from.id, to: to.id, position: single ? position : 0, pairs: [[operand, node]] });
    });
  }
  return [...links.values()];
}

/** The type of a node: "float32[N, 64]". */
export function typeOf(form: NodeForm): string {
  return form.unbuilt ? "not built" : `${form.dtype}[${sizesText(form)}]`;
}

/** The types that go over some links, each once; that of the latest result first. */
export function typesOf(graph: GraphForm, links: readonly Link[]): string[] {
  const producers = new Set(links.flatMap((link) => link.pairs.map(([from]) => from)).sort((a, b) => b - a));
  return [...new Set([...producers].map((n) => typeOf(graph.nodes[n]!)))];
}
