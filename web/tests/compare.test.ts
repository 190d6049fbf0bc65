import { expect, test } from "vitest";
import type { Value } from "../src/arrays";
import { compared, comparedAll, difference, levelOf, minus, percent, toneOf } from "../src/compare/differ";
import { merged } from "../src/compare/merge";
import type { Result } from "../src/core/evaluate";
import type { GraphForm, NodeForm } from "../src/document";
import { Net, scene } from "../src/graph/scene";
import { stacked } from "../src/graph/stacked";

const FORMULAS: Record<string, string> = { constant: "{value}", broadcast_to: "{0}", multiply: "{0} * {1}", add: "{0} + {1}", tanh: "tanh({0})" };

type Short = [name: string, op: string, ...operands: number[]];

function graph(nodes: Short[], layers: [name: string, nodes: number[]][] = []): GraphForm {
  const forms = nodes.map(([name, op, ...operands]): NodeForm => {
    const common = { name, part: "forward" as const, shape: ["N" as const, 2], dtype: "float64" as const, source: "" };
    return op === "input" || op === "parameter" ? { ...common, kind: op } : { ...common, kind: "operation", op, operands };
  });
  const ops = Object.fromEntries(Object.entries(FORMULAS).map(([k, formula]) => [k, { kind: "map" as const, formula, convention: "" }]));
  return {
    nodes: forms, ops, outputs: [nodes.length - 1], loss: null, gradients: [], updates: [], updating: { names: {}, steps: [] }, values: {}, given: {}, training: false,
    layers: layers.map(([name, held]) => ({ name, what: "dense", nodes: held, parameters: 0 })), blocks: [], optimizer: null, failure: null,
  };
}

const value = (...data: number[]): Value => ({ dtype: "float64", shape: [data.length], data: Float64Array.from(data) });
const names = (form: GraphForm) => form.nodes.map((x) => x.name);
const reads = (form: GraphForm, name: string) => form.nodes.find((x) => x.name === name)!.operands!.map((k) => form.nodes[k]!.name);

const a = graph([["x", "input"], ["w", "parameter"], ["c", "broadcast_to", 1], ["h", "multiply", 0, 2], ["y", "tanh", 3]],
  [["x", [0]], ["hidden", [1, 2, 3]], ["y", [4]]]);
/** Another name of the broadcast, a further layer between h and y, and no w of its own kind. */
const b = graph([["x", "input"], ["w", "parameter"], ["v", "parameter"], ["c_2", "broadcast_to", 1], ["h", "multiply", 0, 3], ["more", "add", 4, 2], ["y", "tanh", 5]],
  [["x", [0]], ["hidden", [1, 3, 4]], ["more", [2, 5]], ["y", [6]]]);

test("nodes of one name are one, and repeats are found by who reads them", () => {
  const { graph: both, pairs } = merged(a, b);
  expect(names(both)).toEqual(["v", "x", "w", "c", "h", "more", "y"]);
  expect(pairs).toEqual([{ a: null, b: 2 }, { a: 0, b: 0 }, { a: 1, b: 1 }, { a: 2, b: 3 }, { a: 3, b: 4 }, { a: null, b: 5 }, { a: 4, b: 6 }]);
  expect(reads(both, "y")).toEqual(["h", "more"]); // in A and in B
  expect(reads(both, "more")).toEqual(["h", "v"]);
  expect(both.layers.map((x) => [x.name, x.nodes.map((k) => both.nodes[k]!.name)])).toEqual(
    [["x", ["x"]], ["hidden", ["w", "c", "h"]], ["y", ["y"]], ["more", ["v", "more"]]]);
});

test("a graph and itself are itself, and the other way round only sides change", () => {
  expect(names(merged(a, a).graph)).toEqual(names(a));
  const turned = merged(b, a);
  expect(turned.pairs.filter((p) => p.b === null).map((p) => b.nodes[p.a!]!.name)).toEqual(["v", "more"]);
  expect(reads(turned.graph, "y")).toEqual(["more", "h"]);
});

test("graphs that read in opposite order still have a layout", () => {
  const one = graph([["x", "input"], ["p", "tanh", 0], ["q", "tanh", 1]], [["x", [0]], ["p", [1]], ["q", [2]]]);
  const two = graph([["x", "input"], ["q", "tanh", 0], ["p", "tanh", 1]], [["x", [0]], ["q", [1]], ["p", [2]]]);
  const { graph: both } = merged(one, two);
  const drawn = scene(new Net(both), new Net(both).level("arithmetic"));
  const layout = stacked(drawn, new Map(drawn.items.map((x) => [x.id, { w: 90, h: 30 }])));
  expect(layout.boxes.size).toBe(3);
  expect(reads(both, "p")).toEqual(["x", "q"]);
});

test("the largest difference, relative to the largest entry, and where it is", () => {
  expect(difference(value(1, 2, -4), value(1, 3, -4))).toEqual({ absolute: 1, relative: 0.25, entries: 1, at: 1 });
  expect(difference(value(NaN, 1), value(NaN, 1)).entries).toBe(0);
  const lost = difference(value(5, 1), value(4, NaN));
  expect([lost.absolute, lost.at, levelOf(lost)]).toEqual([NaN, 1, 4]);
  expect(difference(value(Infinity), value(Infinity)).entries).toBe(0);
  expect(difference(value(0, 0), value(0, 0))).toEqual({ absolute: 0, relative: 0, entries: 0, at: 0 });
  expect([...minus(value(3, NaN, 1), value(1, NaN, NaN)).data]).toEqual([2, 0, NaN]);
});

test("colours are steps of the relative difference", () => {
  const level = (x: number) => levelOf(difference(value(1, 0), value(1, x)));
  expect([0, 0.005, 0.05, 0.4, 0.9].map(level)).toEqual([0, 1, 2, 3, 4]);
  expect([0.00001, 0.0123, 0.5, 1.86, NaN].map(percent)).toEqual(["< 0.01 %", "1.2 %", "50 %", "186 %", "NaN"]);
});

test("other shapes, what cannot be computed, and a side without a value are told", () => {
  expect(compared(value(1), value(1, 2))).toBe("shapes");
  expect(compared(value(1), { failure: "no", at: 0 })).toBe("unknown");
  expect(compared(undefined, value(1))).toBe("b");
  expect(compared(undefined, undefined)).toBeNull();
});

test("a folded layer has the tone of its node that differs most, and marks what one has alone", () => {
  const both = merged(a, b);
  const values: [Result[], Result[]] = [
    [value(1), value(2), value(2), value(2), value(0.5)],
    [value(1), value(2), value(9), value(2), value(2), value(11), value(0.25)],
  ];
  const all = comparedAll(both, [a, b], values, "value");
  const place = (name: string) => both.graph.nodes.findIndex((x) => x.name === name);
  expect(toneOf(all, [place("more")])).toEqual({ level: null, only: "B", some: "", text: "only in B" });
  expect(toneOf(all, [place("h")])).toMatchObject({ level: 0, text: "equal", only: null });
  expect(toneOf(all, [place("h"), place("more"), place("y")])).toMatchObject({ level: 3, only: null, some: "+B", text: "differs 50 %" });
  expect(comparedAll(both, [a, b], values, "gradient").filter((x) => x !== null && x !== "b")).toEqual([]);
});
