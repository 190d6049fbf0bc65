import { expect, test } from "vitest";
import type { GraphForm, NodeForm } from "../src/document";
import { fromElk, toElk, type ElkNode } from "../src/graph/elk";
import { faces } from "../src/graph/faces";
import { Layouts, path, type Layout } from "../src/graph/layout";
import { computed, homes, progress, since } from "../src/graph/marks";
import { Net, scene, typesOf, type Scene } from "../src/graph/scene";
import { stacked } from "../src/graph/stacked";
import { cut, short, written } from "../src/graph/text";
import { search, step } from "../src/graph/walk";

const FORMULAS: Record<string, string> = { constant: "{value}", broadcast_to: "{0}", multiply: "{0} * {1}", add: "{0} + {1}", tanh: "tanh({0})" };

type Short = [name: string, op: string, ...operands: number[]];

/** A graph of short nodes; layers and blocks by the indices that they hold. */
function graph(nodes: Short[], layers: number[][] = [], blocks: number[][] = []): GraphForm {
  const forms = nodes.map(([name, op, ...operands]): NodeForm => {
    const common = { name, part: "forward" as const, shape: ["N" as const, 2], dtype: "float32" as const, source: "" };
    return op === "input" || op === "parameter" ? { ...common, kind: op } : { ...common, kind: "operation", op, operands };
  });
  const ops = Object.fromEntries(Object.entries(FORMULAS).map(([k, formula]) => [k, { kind: "map" as const, formula, convention: "" }]));
  return {
    nodes: forms, ops, outputs: [nodes.length - 1], loss: null, gradients: [], updates: [], updating: { names: {}, steps: [] }, values: {}, given: {}, training: false,
    layers: layers.map((held, k) => ({ name: `layer${k}`, what: "dense", nodes: held, parameters: 0 })),
    blocks: blocks.map((held, k) => ({ name: `block${k}`, what: "2 x", layers: held })), optimizer: null, failure: null,
  };
}

/** x, then two layers of a product with a shared parameter and tanh, each a layer; then a sum of both. */
const twice = graph(
  [["x", "input"], ["w", "parameter"], ["p", "multiply", 0, 1], ["h", "tanh", 2], ["q", "multiply", 3, 1], ["k", "tanh", 4],
    ["c", "constant"], ["y", "add", 3, 5], ["z", "multiply", 7, 6]],
  [[0], [1, 2, 3], [4, 5], [6, 7, 8]], [[0], [1, 2], [3]],
);
const open = (form: GraphForm, level: "network" | "layers" | "arithmetic"): Scene => {
  const net = new Net({ ...form, blocks: form.blocks });
  return scene(net, net.level(level));
};
const ids = (s: Scene) => s.items.map((x) => x.name);
const links = (s: Scene) => s.links.map((l) => l.id);
const chain = (count: number) => graph(
  [["x", "input"], ...Array.from({ length: count }, (_, k): Short => [`t${k}`, "tanh", k])],
  Array.from({ length: count + 1 }, (_, k) => [k]), [[0], Array.from({ length: count }, (_, k) => k + 1)],
);

test("the three levels merge nodes into layers, and layers into blocks", () => {
  const two = { ...twice, blocks: [...twice.blocks, { name: "more", what: "", layers: [] }] };
  const form = { ...two, layers: [...two.layers, { name: "e", what: "", nodes: [], parameters: 0 }] };
  form.blocks = [form.blocks[0]!, form.blocks[1]!, { name: "loss", what: "", layers: [3, 4] }];
  expect(ids(open(form, "network"))).toEqual(["x", "block1", "loss"]);
  expect(ids(open(form, "layers"))).toEqual(["x", "layer1", "layer2", "layer3"]);
  expect(ids(open(form, "arithmetic"))).toEqual(form.nodes.map((x) => x.name));
  expect(open(form, "arithmetic").frames.map((f) => [f.name, f.frame])).toEqual(
    [["block1", null], ["layer1", "b1"], ["layer2", "b1"], ["loss", null], ["layer3", "b2"]]);
});

test("edges between folded layers carry the types of all that they stand for, each once", () => {
  const s = open(twice, "layers");
  expect(links(s)).toEqual(["n0>l1", "l1>l2", "l1>l3", "l2>l3"]);
  expect(s.links[1]!.pairs).toEqual([[3, 4], [1, 4]]);
  expect(typesOf(twice, [s.links[1]!])).toEqual(["float32[N, 2]"]);
});

test("operands keep their order, and a node read twice has two edges", () => {
  const s = open(graph([["a", "input"], ["b", "input"], ["y", "multiply", 1, 0], ["s", "multiply", 2, 2]]), "arithmetic");
  expect(s.ins.get("n2")!.map((l) => l.from)).toEqual(["n1", "n0"]);
  expect(s.ins.get("n3")!.map((l) => l.id)).toEqual(["n2>n3:0", "n2>n3:1"]);
});

test("one block of few layers is not folded, and a layer of one node is the node", () => {
  const net = new Net(graph([["x", "input"], ["c", "constant"], ["y", "multiply", 0, 1]], [[0], [1, 2]], [[0, 1]]));
  expect(net.levels).toEqual(["layers", "arithmetic"]);
  expect(scene(net, net.level("layers")).items.map((x) => [x.id, x.kind])).toEqual([["n0", "input"], ["n2", "operation"]]);
  expect(scene(net, net.level("arithmetic")).items.map((x) => [x.id, x.kind])).toEqual([["n0", "input"], ["n1", "small"], ["n2", "operation"]]);
});

test("a recurrent layer is unfolded to its time steps, the second of them open", () => {
  const times = graph(
    [["x", "input"], ["r.x", "multiply", 0, 0], ["r.t0.a", "tanh", 1], ["r.t0.h", "tanh", 2], ["r.t1.a", "multiply", 1, 3],
      ["r.t1.h", "tanh", 4], ["r.t2.a", "multiply", 1, 5], ["r.t2.h", "tanh", 6], ["y", "tanh", 7]], [[0], [1, 2, 3, 4, 5, 6, 7], [8]]);
  times.layers[1] = { ...times.layers[1]!, name: "r", what: "rnn, 3 steps" };
  const net = new Net(times);
  expect(ids(scene(net, net.level("layers")))).toEqual(["x", "r", "y"]);
  const opened = scene(net, new Set([...net.level("layers"), ...net.with("l1")]));
  expect(ids(opened)).toEqual(["x", "r.x", "r.t0", "r.t1.a", "r.t1.h", "r.t2", "y"]);
  expect(opened.frames.map((f) => [f.name, f.frame])).toEqual([["r", null], ["r.t1", "l1"]]);
  expect(ids(open(times, "arithmetic"))).toEqual(times.nodes.map((x) => x.name));
  expect([...net.around(6, new Set())].sort()).toEqual(["l1", "t1_2"]);
  expect(net.with("l2")).toEqual(["l2"]);
});

test("what a search finds is unfolded, and nothing else", () => {
  const net = new Net(twice);
  const state = net.around(4, new Set());
  expect([...state]).toEqual(["l2"]);
  expect(scene(net, state).of.get(4)!.id).toBe("n4");
  expect(scene(net, state).of.get(2)!.id).toBe("l1");
  expect(net.around(4, state)).toBe(state);
});

test("a graph that names no layers, or cuts off where building failed, is drawn whole", () => {
  const form = { ...graph([["x", "input"], ["y", "tanh", 0]]), failure: { node: 1, message: "shapes" } };
  expect(ids(open(form, "network"))).toEqual(["x", "y"]);
});

test("arrow keys walk to operands, consumers and their siblings", () => {
  const s = open(twice, "arithmetic");
  const up = step(s, "n2", "up", null)!;
  expect(up).toEqual({ to: "n0", via: { item: "n2", direction: "up" } });
  expect(step(s, "n0", "right", up.via)!.to).toBe("n1");
  expect(step(s, "n1", "right", up.via)).toBeNull();
  expect(step(s, "n1", "left", up.via)!.to).toBe("n0");
  expect(step(s, "n3", "down", null)!.to).toBe("n4");
  expect(step(s, "n0", "up", null)).toBeNull();
  expect(step(s, "n4", "right", { item: "n3", direction: "down" })!.to).toBe("n7");
});

test("a search finds names before ops before layers", () => {
  const net = new Net(twice);
  const found = (text: string) => search(net, text).map((m) => m.name);

  expect(found("h")[0]).toBe("h");
  expect(found("multiply")).toEqual(["p", "q", "z"]);
  expect(found("layer2")).toEqual(["q", "k"]);
  expect(found("  ")).toEqual([]);
  expect(found("<b>")).toEqual([]);
});

test("a node is there after its step, and one without a step after its operands", () => {
  const form = graph([["x", "input"], ["a", "tanh", 0], ["b", "broadcast_to", 1], ["y", "tanh", 2]]);
  form.gradients = [
    { node: 3, gradient: 0, terms: [] }, { node: 2, gradient: 0, terms: [{ consumer: 3, position: 0, gradient: 0 }] },
    { node: 1, gradient: 0, terms: [] },
  ];
  const nodes = [1, 3].map((node) => ({ direction: "forward" as const, node, consumers: [], passed: [] }));
  const back = [3, 1].map((node) => ({ direction: "backward" as const, node, consumers: [], passed: [] }));
  const s = since(form, [...nodes, ...back]);
  expect([0, 1, 2, 3].map((n) => computed(s, n, 0, "forward"))).toEqual([true, true, true, false]);
  expect([0, 1, 2, 3].map((n) => computed(s, n, 2, "backward"))).toEqual([false, false, true, true]);
  expect([0, 1, 2, 3].every((n) => computed(s, n, -1, null))).toBe(true);
});

test("a folded layer counts the steps of its nodes, and those alone", () => {
  const form = graph([["x", "input"], ["c", "constant"], ["a", "multiply", 0, 1], ["y", "tanh", 2]]);
  const s = since(form, [2, 3].map((node) => ({ direction: "forward" as const, node, consumers: [], passed: [] })));
  expect([-1, 0, 1].map((at) => progress(s, [0, 1, 2, 3], at, "forward"))).toEqual([0, 0.5, 1]);
  expect(progress(s, [0, 1], 0, "forward")).toBeNull();
  expect(progress(s, [2, 3], 0, "backward")).toBeNull();
});

test("gradients, slots and new values are shown at their own node", () => {
  const form = graph([["w", "parameter"], ["y", "tanh", 0], ["g", "tanh", 1], ["w.slot", "parameter"], ["new", "tanh", 3], ["new slot", "tanh", 3]]);
  form.nodes.forEach((node, k) => (node.part = k < 2 ? "forward" : k === 2 ? "backward" : "update"));
  form.gradients = [{ node: 1, gradient: 1, terms: [] }, { node: 0, gradient: 2, terms: [] }];
  form.updates = [{ parameter: 0, new: 4, of: null }, { parameter: 3, new: 5, of: 0 }];
  expect([...homes(form)].sort((a, b) => a[0] - b[0])).toEqual([[2, 0], [3, 0], [4, 0], [5, 0]]);
});

test("hostile names are cut and shown as marks, not obeyed", () => {
  expect(cut("a".repeat(1e6))).toHaveLength(28);
  expect(cut("\u202egnp.exe")).toBe("\ufffdgnp.exe");
  expect(cut("two\nlines\u0000")).toBe("two\ufffdlines\ufffd");
  expect(cut("<b>&amp;")).toBe("<b>&amp;");
  expect([...cut("𝕏".repeat(40), 9)]).toHaveLength(9);
});

test("numbers are short, and small arrays are written in lines", () => {
  expect([0.0171234, -5.2, 1, 1e-9, 123456789, NaN, -Infinity, -0].map(short)).toEqual(
    ["0.0171", "-5.2", "1", "1e-9", "1.23e8", "nan", "-inf", "0"]);
  const value = (shape: number[], ...data: number[]) => written({ dtype: "float64", shape, data: Float64Array.from(data) });
  expect(value([1, 2], 0.9, 0.168)).toEqual(["[0.9, 0.168]"]);
  expect(value([2, 2], 1, 2, 3, 4)).toEqual(["[1, 2]", "[3, 4]"]);
  expect(value([], 7)).toEqual(["7"]);
  expect(value([5], 1, 2, 3, 4, 5)).toEqual(["[1, 2, 3, …]"]);
  expect(value([0])).toEqual([]);
  expect(value([9], ...Array<number>(9).fill(1))).toEqual([]);
});

function sound(s: Scene, layout: Layout): void {
  const inside = new Map<string | null, string[]>();
  for (const { id, frame } of [...s.items, ...s.frames]) inside.set(frame, [...(inside.get(frame) ?? []), id]);
  for (const [frame, members] of inside) {
    const boxes = members.map((id) => layout.boxes.get(id)!).sort((a, b) => a.y - b.y);
    const home = frame === null ? null : layout.boxes.get(frame)!;
    boxes.forEach((a, k) => {
      if (home) expect(a.x >= home.x && a.y >= home.y && a.x + a.w <= home.x + home.w && a.y + a.h <= home.y + home.h).toBe(true);
      for (let j = k + 1; j < boxes.length && boxes[j]!.y < a.y + a.h; j++) {
        const b = boxes[j]!;
        expect(a.x + a.w <= b.x || b.x + b.w <= a.x).toBe(true);
      }
    });
  }
  for (const link of s.links) {
    const route = layout.routes.get(link.id)!;
    const [a, b] = [layout.boxes.get(link.from)!, layout.boxes.get(link.to)!];
    expect(route[0]).toBeCloseTo(Math.min(Math.max(route[0]!, a.x), a.x + a.w));
    expect(route[1]).toBeCloseTo(a.y + a.h);
    expect(route.at(-1)).toBeCloseTo(b.y);
    expect(path(route)).toMatch(/^M[-\d.]+ [-\d.]+/);
  }
}

const sized = (form: GraphForm, s: Scene) => new Map([...faces(form, s, 1)].map(([id, f]) => [id, f.size]));

test.each(["network", "layers", "arithmetic"] as const)("boxes at level %s do not overlap, and stand in their frames", (level) => {
  for (const form of [twice, chain(60), chain(5000)]) {
    const s = open(form, level);
    sound(s, stacked(s, sized(form, s)));
  }
});

test.each([
  { blocks: [[0], [1, 2], [3]], what: "a frame in a frame" },
  { blocks: [[1, 2], [0, 3]], what: "frames that read each other" },
])("ELK lays out $what, with operands in order", async ({ blocks }) => {
  const { default: ELK } = await import("elkjs/lib/elk.bundled.js");
  const form = { ...twice, blocks: blocks.map((layers, k) => ({ name: `b${k}`, what: "", layers })) };
  const net = new Net({ ...form, layers: [...form.layers, ...Array.from({ length: 40 }, () => ({ name: "", what: "", nodes: [], parameters: 0 }))] });
  const s = scene(net, net.level("arithmetic"));
  expect(s.frames.length).toBeGreaterThan(1);
  const root = toElk(s, sized(form, s));
  const layout = fromElk((await new ELK().layout(root as never)) as unknown as ElkNode);
  sound(s, layout);
  const ends = s.ins.get("n2")!.map((l) => layout.routes.get(l.id)!.at(-2)!);
  expect(ends[0]).toBeLessThan(ends[1]!);
});

test("a layout is made once for each state, and by the second engine where the first fails", async () => {
  const s = open(twice, "layers");
  let asked = 0;
  const layouts = new Layouts(async () => { asked++; throw new Error("no worker"); }, async (of, sizes) => stacked(of, sizes));
  const made = await layouts.of("a", s, sized(twice, s));
  expect(await layouts.of("a", s, sized(twice, s))).toBe(made);
  expect(asked).toBe(1);
  sound(s, made);
});

test("scenes of thousands of nodes are made, searched and measured", () => {
  for (const count of [1000, 5000]) {
    const form = chain(count);
    const net = new Net(form);
    expect(scene(net, net.level("network")).items.map((x) => x.name)).toEqual(["x", "block1"]);
    const s = scene(net, net.level("arithmetic"));
    expect(s.items).toHaveLength(count + 1);
    expect(s.frames.map((f) => f.name)).toEqual(["block1"]);
    expect(search(net, `t${count - 1}`)[0]!.node).toBe(count);
    expect(faces(form, s, 3).size).toBe(count + 1);
  }
});
