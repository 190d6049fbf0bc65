/** One graph of two: nodes of one name are one, those that only one has stand where they belong. */
import { transparent } from "../core/formula";
import type { BlockForm, GraphForm, LayerForm, NodeForm } from "../document";

/** A node of the merged graph: its index in A and in B; null where one lacks it. */
export interface Pair {
  a: number | null;
  b: number | null;
}

export interface Merged {
  /** The structure of both forward passes; a node also reads what it reads in B alone. */
  graph: GraphForm;
  /** By node of `graph`. */
  pairs: readonly Pair[];
}

/** Merges the forward passes of two graphs. */
export function merged(a: GraphForm, b: GraphForm): Merged {
  const inB = matched(a, b);
  const [pairs, ofA, ofB] = ordered(a, b, inB);
  const nodes = pairs.map((pair): NodeForm => {
    const form = pair.a === null ? b.nodes[pair.b!]! : a.nodes[pair.a]!;
    if (form.operands === undefined) return form;
    const own = pair.a === null ? [] : form.operands.map((x) => ofA.get(x)!);
    const others = (pair.b === null ? [] : b.nodes[pair.b]!.operands ?? []).map((x) => ofB.get(x)!);
    return { ...form, operands: [...own, ...others.filter((x) => pair.a === null || !own.includes(x))] };
  });
  const layers = mergedLayers(a, b, ofA, ofB);
  const outputs = [...a.outputs.map((x) => ofA.get(x)!), ...b.outputs.map((x) => ofB.get(x)!)];
  return {
    pairs,
    graph: {
      nodes, layers, blocks: mergedBlocks(a, b, layers), ops: { ...b.ops, ...a.ops }, outputs: [...new Set(outputs)],
      loss: a.loss === null ? null : ofA.get(a.loss)!, gradients: [], updates: [], updating: { names: {}, steps: [] },
      values: {}, given: {}, training: a.training, optimizer: null, failure: null,
    },
  };
}

function forward(graph: GraphForm): number[] {
  return graph.nodes.flatMap((x, k) => (x.part === "forward" ? [k] : []));
}

/** The node of B for each of A: by name; those that only repeat or hold numbers by who reads them. */
function matched(a: GraphForm, b: GraphForm): Map<number, number> {
  const named = new Map(forward(b).filter((k) => !transparent(b, k)).map((k) => [b.nodes[k]!.name, k]));
  const found = new Map<number, number>();
  for (const k of forward(a)) {
    const other = transparent(a, k) ? undefined : named.get(a.nodes[k]!.name);
    if (other !== undefined) found.set(k, other);
  }
  const taken = new Set(found.values());
  for (const k of forward(a).reverse()) {
    const other = found.get(k);
    if (other === undefined || a.nodes[k]!.op !== b.nodes[other]!.op) continue;
    a.nodes[k]!.operands?.forEach((x, place) => {
      const y = b.nodes[other]!.operands?.[place];
      if (y === undefined || found.has(x) || taken.has(y) || !transparent(a, x) || !transparent(b, y)) return;
      found.set(x, y);
      taken.add(y);
    });
  }
  return found;
}

/** All nodes: those of A in order, each of B alone after the last that it reads; and their places. */
function ordered(
  a: GraphForm, b: GraphForm, inB: ReadonlyMap<number, number>,
): [Pair[], Map<number, number>, Map<number, number>] {
  const inA = new Map([...inB].map(([x, y]) => [y, x]));
  const after = new Map<number, number>(); // by node of B alone: the node of A that it stands after
  const anchor = (k: number): number => inA.get(k) ?? after.get(k) ?? -1;
  const alone = forward(b).filter((k) => !inA.has(k));
  for (const k of alone) after.set(k, Math.max(-1, ...(b.nodes[k]!.operands ?? []).map(anchor)));
  const entries = [
    ...forward(a).map((k) => ({ pair: { a: k, b: inB.get(k) ?? null } as Pair, at: k, then: -1 })),
    ...alone.map((k) => ({ pair: { a: null, b: k } as Pair, at: after.get(k)!, then: k })),
  ].sort((x, y) => x.at - y.at || x.then - y.then);
  const pairs = entries.map((x) => x.pair);
  const ofA = new Map<number, number>(), ofB = new Map<number, number>();
  pairs.forEach((pair, k) => {
    if (pair.a !== null) ofA.set(pair.a, k);
    if (pair.b !== null) ofB.set(pair.b, k);
  });
  return [pairs, ofA, ofB];
}

/** The layers of A, and those of B with what A lacks: in the layer of the same name, if there is one. */
function mergedLayers(
  a: GraphForm, b: GraphForm, ofA: ReadonlyMap<number, number>, ofB: ReadonlyMap<number, number>,
): LayerForm[] {
  const common = new Set(ofA.values());
  const made = new Map(a.layers.map((x) => [x.name, { ...x, nodes: x.nodes.flatMap((k) => ofA.get(k) ?? []) }]));
  for (const layer of b.layers) {
    const nodes = layer.nodes.flatMap((k) => ofB.get(k) ?? []).filter((k) => !common.has(k));
    const before = made.get(layer.name);
    if (before) {
      const what = before.what === layer.what ? layer.what : `${before.what} | ${layer.what}`;
      made.set(layer.name, { ...before, what, nodes: [...before.nodes, ...nodes].sort((x, y) => x - y) });
    } else if (nodes.length) made.set(layer.name, { ...layer, nodes });
  }
  return [...made.values()];
}

/** The blocks of A, and in them or as further ones the layers of B alone. */
function mergedBlocks(a: GraphForm, b: GraphForm, layers: readonly LayerForm[]): BlockForm[] {
  const place = new Map(layers.map((x, k) => [x.name, k]));
  const known = new Set(a.layers.map((x) => x.name));
  const made = new Map(a.blocks.map((x) => [x.name, { ...x, layers: [...x.layers] }]));
  for (const block of b.blocks) {
    const more = block.layers.map((k) => b.layers[k]!.name).filter((name) => !known.has(name)).flatMap((name) => place.get(name) ?? []);
    const before = made.get(block.name);
    if (before) before.layers.push(...more);
    else if (more.length) made.set(block.name, { ...block, layers: more });
  }
  return [...made.values()];
}
