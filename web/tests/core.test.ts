import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { Value } from "../src/arrays";
import {
  attributeText, dependents, evaluate, failed, general, givenOf, number, reevaluate, repr, type Result,
} from "../src/core";
import { added, byName, expression } from "../src/core/formula";
import type { ArrayForm, Attribute, GraphForm, NodeForm, OpForm } from "../src/document";

function float64(...numbers: number[]): Value {
  return { dtype: "float64", shape: [numbers.length], data: Float64Array.from(numbers) };
}

function form(value: Value): ArrayForm {
  const { dtype, shape, data } = value;
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { dtype, shape: [...shape], data: btoa(String.fromCharCode(...bytes)) };
}

const OPS: Record<string, string> = {
  add: "{0} + {1}", multiply: "{0} * {1}", negative: "-{0}", exp: "exp({0})", divide: "{0} / {1}",
  where: "{1} if {0} else {2}", greater: "{0} > {1}", matmul: "{0} @ {1}", concat: "concat({0}, ..., axis={axis})",
};

/** A graph of vectors: inputs by name, then operations as [name, op, operands, attributes]. */
function graphOf(
  inputs: string[], operations: [string, string, number[], Record<string, Attribute>?][],
): GraphForm {
  const common = { part: "forward", shape: ["N"], dtype: "float64", source: "" } as const;
  const nodes: NodeForm[] = [
    ...inputs.map((name) => ({ ...common, shape: [...common.shape], name, kind: "input" as const })),
    ...operations.map(([name, op, operands, attributes = {}]) => ({
      ...common, shape: [...common.shape], name, kind: "operation" as const, op, operands, attributes,
    })),
  ];
  const op = (formula: string): OpForm => ({ kind: "map", formula, convention: "" });
  return {
    nodes, ops: Object.fromEntries(Object.entries(OPS).map(([name, text]) => [name, op(text)])),
    layers: [], blocks: [], outputs: [], loss: null, gradients: [], updates: [], updating: { names: {}, steps: [] }, values: {}, given: {},
    training: false, optimizer: null, failure: null,
  };
}

function numbersOf(result: Result | undefined): number[] {
  if (!result || failed(result)) throw new Error(result?.failure);
  return [...result.data].map(Number);
}

const CHAIN = graphOf(["a", "b"], [
  ["left", "exp", [0]], ["right", "negative", [1]], ["sum", "add", [2, 3]], ["mine", "cube", [1]],
  ["after", "multiply", [5, 4]],
]);

test("after an edit only what depends on it is computed again", () => {
  const given = new Map([[0, float64(0, 1)], [1, float64(2, 3)]]);
  const before = evaluate(CHAIN, given, 2);
  expect(numbersOf(before[4])).toEqual([1 - 2, Math.E - 3]);
  const changed = new Map([[1, float64(5, 7)]]);
  const after = reevaluate(CHAIN, before, changed, 2);
  expect(after[2]).toBe(before[2]);
  expect(numbersOf(after[4])).toEqual([1 - 5, Math.E - 7]);
  expect(after).toEqual(evaluate(CHAIN, new Map([...given, ...changed]), 2));
  expect(numbersOf(before[4])).toEqual([1 - 2, Math.E - 3]);
});

test("a node in the middle may be given", () => {
  const results = evaluate(CHAIN, new Map([[1, float64(1)], [2, float64(10)]]), 1);
  expect(numbersOf(results[4])).toEqual([9]);
  expect(results[0]).toEqual({ failure: "'a' has no value: none is given", at: 0 });
});

test("what depends on an op that is not known has its failure", () => {
  const results = evaluate(CHAIN, new Map([[0, float64(0)], [1, float64(2)]]), 1);
  expect(failed(results[5]!) && results[5].failure).toContain("'cube' is Python code");
  expect(results[6]).toEqual(results[5]);
  expect([...dependents(CHAIN, [1])]).toEqual([1, 3, 4, 5, 6]);
});

test("a node that cannot be computed has a failure, and the others their values", () => {
  const graph = graphOf(["a"], [["m", "matmul", [0]], ["e", "negative", [0]]]);
  const results = evaluate(graph, new Map([[0, float64(2)]]), 1);
  expect(results[1]).toEqual({ failure: "'m' cannot be computed here: operand 1 is missing", at: 1 });
  expect(numbersOf(results[2])).toEqual([-2]);
});

test("rows of a document are put below one another", () => {
  const graph = { ...CHAIN, given: { b: form(float64(8, 9)) } };
  const row = (x: number) => ({
    label: "", why: "", cells: [], feeds: { a: { ...form(float64(x)), shape: [] } },
  });
  const given = givenOf({ graph, rows: [row(1), row(2), row(3)] }, [2, 0]);
  expect(given.get(0)).toEqual(float64(3, 1));
  expect(given.get(1)).toEqual(float64(8, 9));
});

test("names that objects of JavaScript have are names as others", () => {
  const graph = graphOf(["constructor", "__proto__", "toString"], []);
  graph.values = { toString: form(float64(5)) };
  const feeds = JSON.parse(JSON.stringify({ constructor: { ...form(float64(1)), shape: [] } }));
  Object.defineProperty(feeds, "__proto__", {
    value: { ...form(float64(2)), shape: [] }, enumerable: true,
  });
  const rows = [{ label: "", why: "", cells: [], feeds }];
  expect([...givenOf({ graph, rows }, [0]).entries()]).toEqual(
    [[0, float64(1)], [1, float64(2)], [2, float64(5)]],
  );
  expect(givenOf({ graph, rows: [{ ...rows[0]!, feeds: {} }] }, [0]).size).toBe(1);
});

test("numbers are rounded as in Python, ties to even", () => {
  const texts: [number, number, string][] = [
    [1234565, 6, "1.23456e+06"], [1234575, 6, "1.23458e+06"], [0.5, 6, "0.5"], [99999.96, 6, "100000"],
    [999999.5, 6, "1e+06"], [0.0001, 6, "0.0001"], [0.00001, 6, "1e-05"], [-0, 6, "-0"],
    [1e100, 6, "1e+100"], [NaN, 6, "nan"], [-Infinity, 6, "-inf"], [2.5, 1, "2"], [3.5, 1, "4"],
    [9.5, 1, "1e+01"], [123456789.25, 9, "123456789"],
  ];
  for (const [x, digits, text] of texts) expect(general(x, digits)).toBe(text);
  const exact: [number, string][] = [
    [1, "1.0"], [0.1, "0.1"], [1e16, "1e+16"], [123456789012345680, "1.2345678901234568e+17"],
    [0.0001, "0.0001"], [0.00001, "1e-05"], [-0, "-0.0"], [Infinity, "inf"], [1e22, "1e+22"],
  ];
  for (const [x, text] of exact) expect(repr(x)).toBe(text);
});

test("attributes and arrays are written as in Python", () => {
  expect(attributeText([2, "N", [3]])).toBe("(2, N, (3,))");
  expect(attributeText([true, null, { float: "2.0" }, 0.5])).toBe("(True, None, 2.0, 0.5)");
  expect(attributeText("ij,jk->ik")).toBe("ij,jk->ik");
  expect(attributeText(["it's"])).toBe('("it\'s",)');
  const square = { ...float64(1, 2, 3, 4), shape: [2, 2] };
  expect(number(square)).toBe("[[1, 2], [3, 4]]");
  expect(number(square, 6, 3)).toBe("[1, 2, 3, ... 2x2]");
  expect(number({ ...square, shape: [1, 4] })).toBe("[1, 2, 3, 4]");
  expect(number({ ...float64(), shape: [2, 0] })).toBe("[[], []]");
  expect(number({ ...float64(7), shape: [1, 1] })).toBe("7");
});

test("formulas have the brackets that they need, whatever the names", () => {
  const graph = graphOf(["a{1}", "$&", "c"], [
    ["s", "add", [0, 1]], ["p", "multiply", [3, 2]], ["m", "matmul", [4, 3]], ["n", "negative", [3]],
    ["g", "greater", [3, 4]], ["w", "where", [7, 3, 4]], ["q", "divide", [2, 9]], ["e", "exp", [8]],
    ["j", "concat", [0, 1, 2, 0, 1, 2, 0, 1], { axis: 1 }],
  ]);
  const names = new Map([0, 1, 2].map((k) => [k, graph.nodes[k]!.name]));
  const text = (k: number): string => expression(graph, k, byName(graph, names));
  expect(text(4)).toBe("(a{1} + $&) * c");
  expect(text(5)).toBe("((a{1} + $&) * c) @ (a{1} + $&)");
  expect(text(6)).toBe("-(a{1} + $&)");
  expect(text(8)).toBe("a{1} + $& if a{1} + $& > (a{1} + $&) * c else (a{1} + $&) * c");
  expect(text(10)).toBe(`exp(${text(8)})`);
  expect(text(11)).toBe("concat(a{1}, $&, c, a{1}, ..., $&, axis=1)");
  expect(added(["x > y", "z", "u if v else w"])).toBe("(x > y) + z + (u if v else w)");
});

test("the core needs neither a page nor a framework, so that it runs in a worker", () => {
  const files = readdirSync("src/core", { recursive: true, encoding: "utf-8" }).filter((x) => x.endsWith(".ts"));
  expect(files.length).toBeGreaterThan(15);
  for (const file of files) {
    const text = readFileSync(`src/core/${file}`, "utf-8");
    const sources = [...text.matchAll(/ from "([^"]+)"/g)].map(([, source]) => source!);
    for (const source of sources) expect(source, file).toMatch(/^(\.\/|(\.\.\/){1,2}(arrays|document|call|strided)$)/);
  }
});
