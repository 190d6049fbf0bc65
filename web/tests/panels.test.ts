import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { evaluate, givenOf, isValue } from "../src/core/evaluate";
import { steps } from "../src/core/steps";
import { updateSteps } from "../src/core/updates";
import type { InspectionDocument, NodeForm } from "../src/document";
import { chain } from "../src/panels/chain";
import { judge, linesOf, type Line } from "../src/panels/checking";
import SENTENCES from "../src/panels/slips.json";
import { slip } from "../src/panels/slips";
import { headline, reason, sentence } from "../src/parts/sentence";
import { partsOf } from "../src/panels/parts";
import { agreement, halfDigit } from "../src/panels/typed";
import { worked } from "../src/panels/worked";
import { seenBy } from "../src/panels/window";
import { typeText } from "../src/panels/write";
import { arranged, axisWord, Pictures } from "../src/parts/images";
import { Labels } from "../src/parts/labels";
import { parsed, plain, short, unravel } from "../src/parts/numbers";

// written by tests/inspector/test_fixture.py
const lecture = JSON.parse(
  readFileSync(new URL("./lecture.json", import.meta.url), "utf8"),
) as InspectionDocument;
const { graph } = lecture;
const values = evaluate(graph, givenOf(lecture, [0]), 1);
const all = [...steps(graph, values), ...updateSteps(graph, values)];
const node = (name: string): number => graph.nodes.findIndex((x) => x.name === name);

function typed(direction: string, name: string, text: string, entry = 0): string | null {
  const step = all.find((s) => s.direction === direction && s.name === name)!;
  const value = step.value;
  const expected = isValue(value) ? Number(value.data[entry]) : NaN;
  expect(agreement(text, expected)).not.toBe("right");
  return slip({ graph, values, rows: 1, step, entry, text, expected });
}

test("a text is as exact as its digits", () => {
  expect(halfDigit("0.90")).toBeCloseTo(0.005);
  expect(halfDigit("1.5e-3")).toBeCloseTo(0.00005);
  expect(agreement("0.90", 0.9002)).toBe("right");
  expect(agreement("0.91", 0.9002)).toBe("wrong");
  expect(agreement("0", 0.0103)).toBe("few digits");
  expect(agreement("−0,25", -0.25)).toBe("right");
  expect(agreement("a half", 0.5)).toBe("unreadable");
});

test("the slip behind a number is named, forward", () => {
  expect(typed("forward", "h", "2.2")).toContain("the activation is not applied");
  expect(typed("forward", "h", "0.0898")).toContain("slope of the activation");
  expect(typed("forward", "z1", "3.7")).toBe("the bias is not added");
  expect(typed("forward", "z2", "5.178")).toContain("'b2' is subtracted");
  expect(typed("forward", "u1", "2.9")).toBe("the weights are those of another unit: a column belongs to a unit");
  expect(typed("forward", "d", "-0.2355")).toContain("the operands are in the other order");
  expect(typed("forward", "E", "0.0555")).toContain("the division is left out");
});

test("the slip behind a number is named, backward", () => {
  expect(typed("backward", "z2", "-0.2355")).toContain("the slope of y = sigmoid(z2) is missing");
  expect(typed("backward", "z2", "0.04925")).toContain("with the input in place of the output of y = sigmoid(z2)");
  expect(typed("backward", "h", "0.2204")).toContain("of a neighbour is taken");
  expect(typed("backward", "h", "-0.0424")).toBe("the weight on the way back is missing");
  expect(typed("backward", "W2", "0.03816")).toBe("the sign is wrong");
});

test("the slip behind a number is named, update", () => {
  expect(typed("update", "b2.new", "-1.9576")).toContain("the rate is left out");
  expect(typed("update", "b2.new", "-2.4239")).toContain("the step is added: it goes against the gradient");
  expect(typed("update", "b2.new", "0.4239")).toContain("this is the step alone");
});

// written by tests/explain/test_check.py from its cases, with the words of Python
const shared = JSON.parse(readFileSync(new URL("./slips.json", import.meta.url), "utf8")) as {
  direction: string; name: string; entry: number; text: string; slip: keyof typeof SENTENCES; sentence: string;
}[];

test.each(shared)("$slip of $name is told in Python's words", ({ direction, name, entry, text, sentence }) => {
  expect(typed(direction, name, text, entry)).toBe(sentence);
});

test("of two consumers both count", () => {
  // u2 is read twice in a copy of the lecture: E2 = E + y
  const two = structuredClone(graph);
  const form = two.gradients.find((g) => g.node === node("y"))!;
  const sum = { ...two.nodes[form.gradient]!, name: "y.gradient", op: "add", kind: "operation" as const, operands: [form.gradient, form.gradient], attributes: {} };
  two.nodes.push(sum);
  const last = two.nodes.length - 1;
  form.terms = [form.terms[0]!, form.terms[0]!];
  form.gradient = last;
  const results = evaluate(two, givenOf({ ...lecture, graph: two }, [0]), 1);
  const step = { ...all.find((s) => s.direction === "backward" && s.name === "y")!, result: last, value: results[last]! };
  const expected = Number((results[last] as { data: ArrayLike<number> }).data[0]);
  const told = slip({ graph: two, values: results, rows: 1, step, entry: 0, text: "-0.2355", expected });
  expect(told).toContain("y is read by several, and only a part of them is counted");
});

test("what consumers send times local derivatives is the gradient, at every entry", () => {
  for (const form of graph.gradients) {
    const value = values[form.gradient]!;
    if (!isValue(value) || !form.terms.length) continue;
    for (let entry = 0; entry < value.data.length; entry++) {
      const sent = chain(graph, values, form, 1, entry).flatMap((t) => t.sent);
      const sum = sent.reduce((total, s) => total + s.incoming * s.local, 0);
      expect(sum).toBeCloseTo(Number(value.data[entry]), 12);
    }
  }
});

test("a carried error is counted once", () => {
  const lines: Line[] = linesOf(all.filter((s) => s.direction === "forward")).slice(0, 4);
  const answers: Record<string, string> = { "0.0": "3.7", "0.1": "2.9", "1.0": "3.7", "1.1": "2.9", "2.0": "0.976", "2.1": "0.948", "3.0": "-0.537" };
  const verdicts = judge(graph, values, 1, lines, (line, entry) => answers[`${line}.${entry}`] ?? "");
  expect(verdicts.map((v) => v.kind)).toEqual(["right", "wrong", "follows", "follows"]);
  expect(verdicts[3]!.from).toBe(2);
});

test("a unit is written down to its weights", () => {
  const names = new Map(graph.nodes.map((x, k) => [k, x.name]));
  const writer = { graph, values, names, stops: () => false, numbers: true, digits: 4 };
  expect(worked(writer, node("h"), 0)).toBe("sigmoid(1 * 3.7 + 0 * 3.7 - 1.5)");
  expect(worked({ ...writer, numbers: false }, node("h"), 1)).toBe("sigmoid(x[0] * W1[0, 1] + x[1] * W1[1, 1] + b1[1])");
  expect(worked(writer, node("y"), 0)).toBe("sigmoid(0.9002 * 4.5 + 0.168 * (-5.2) - 2)");
});

test("numbers are read and written", () => {
  expect([short(0.90025), short(1e-9), short(-0), short(1234567), short(NaN)]).toEqual(["0.9002", "1e-9", "0", "1.235e6", "NaN"]);
  expect([parsed("1e3"), parsed("inf"), parsed("2,5"), parsed("x"), parsed("")]).toEqual([1000, Infinity, 2.5, null, null]);
  expect(plain(Math.fround(0.1), true)).toBe("0.1");
  expect(unravel(7, [2, 2, 3])).toEqual([1, 0, 1]);
});

test("columns and classes give entries their names", () => {
  const labels = new Labels({
    ...lecture,
    encoders: [{ column: "size", kind: "number", told: "", levels: [], gaps: 0, reading: null, parts: [{ name: "size", input: "x", position: 1, seen: [] }] }],
    target: { column: "t", input: "t", task: "classification", classes: ["yes"], reading: null, output: node("y") },
  });
  expect(labels.names(node("x"), [0])(1, 1)).toBe("size");
  expect(labels.names(node("x"), [0])(0, 0)).toBe("row 1");
  expect(labels.names(node("W1"), [0])(0, 1)).toBe("size");
  expect(labels.names(node("W2"), [0])(1, 0)).toBe("yes");
  expect(labels.names(node("z2"), [0])(1, 0)).toBe("yes");
});

test("each entry of a one-hot code has the name of its level, also where some are left out", () => {
  const form = (name: string, op: string | undefined, operands: number[], width: number, attributes = {}) =>
    ({ name, kind: op ? "operation" : "input", part: "forward", shape: op === "constant" ? [width] : ["N", width], dtype: "int32", op, operands, attributes });
  const chosen = btoa(String.fromCharCode(...new Uint8Array(Int32Array.of(0, 2, 3).buffer)));
  const nodes = [
    { ...form("sex", undefined, [], 0), shape: ["N"] },
    form("one_hot", "one_hot", [0], 4, { depth: 4 }),
    form("constant", "constant", [], 3, { value: { array: { dtype: "int32", shape: [3], data: chosen } } }),
    form("sex.one_hot", "take", [1, 2], 3, { axis: 1 }),
    form("size", "cast", [], 1),
    form("features", "concat", [4, 3], 4, { axis: 1 }),
  ];
  const labels = new Labels({
    ...lecture, target: null,
    graph: { ...lecture.graph, nodes: nodes as unknown as typeof lecture.graph.nodes, gradients: [], updates: [] },
    encoders: [
      { column: "sex", kind: "category", told: "", levels: ["(gap)", "(unseen or rare)", "female", "male"], gaps: 1, reading: null,
        parts: [{ name: "code", input: "sex", position: null, seen: [{ node: 5, entries: [1, 2, 3] }] }] },
      { column: "size", kind: "number", told: "", levels: [], gaps: 0, reading: null,
        parts: [{ name: "size", input: "x", position: 0, seen: [{ node: 5, entries: [0] }] }] },
    ],
  });
  const names = (node: number, width: number) => Array.from({ length: width }, (_, k) => labels.names(node, [0])(1, k));
  expect(names(1, 4)).toEqual(["sex = (gap)", "sex = (unseen or rare)", "sex = female", "sex = male"]);
  expect(names(3, 3)).toEqual(["sex = (gap)", "sex = female", "sex = male"]);
  expect(names(5, 4)).toEqual(["size", "sex = (gap)", "sex = female", "sex = male"]);
});

test("a note is a sentence, and a name in front keeps its case", () => {
  expect(sentence("rows were chosen")).toBe("Rows were chosen.");
  expect(sentence("body_mass has gaps", ["body", "body_mass"])).toBe("body_mass has gaps.");
  expect(sentence("bodyless rows", ["body"])).toBe("Bodyless rows.");
  expect(sentence("2 rows are left out.")).toBe("2 rows are left out.");
});

test("a failure names its node once", () => {
  expect(reason("z", "'z' needs more memory than the browser gives")).toBe("'z' needs more memory than the browser gives");
  expect(reason("y", "'z' needs more memory than the browser gives")).toBe("y: 'z' needs more memory than the browser gives");
  expect(headline("[matmul] inner sizes differ\n  got", "matmul")).toBe("inner sizes differ");
  expect(headline("[matmul] inner sizes differ", "x")).toBe("[matmul] inner sizes differ");
});

test("one pixel of a convolution is written as products of its window and the filter", () => {
  const value = (shape: number[], data: number[]) => ({ dtype: "float64" as const, shape, data: Float64Array.from(data) });
  const form = (name: string, shape: NodeForm["shape"], rest: Partial<NodeForm>): NodeForm =>
    ({ name, kind: "operation", part: "forward", shape, dtype: "float64", source: "", ...rest });
  const seen = { axis: 1, size: [2], stride: [1], dilation: [1], before: [1], after: [0], fill: { float: "0.0" } };
  const nodes = [
    form("x", ["N", 3, 1], { kind: "input", axes: [null, "time", null] }),
    form("w", [2, 1, 2], { kind: "parameter" }),
    form("c.windows", ["N", 3, 2, 1], { op: "windows", operands: [0], attributes: seen }),
    form("c", ["N", 3, 2], { op: "einsum", operands: [2, 1], attributes: { equation: "nxui,uio->nxo" } }),
    form("p", ["N", 2], { op: "max", operands: [3], attributes: { axis: [1], keepdims: false } }),
    form("back", ["N", 3, 1], { op: "overlap_add", operands: [2], attributes: { ...seen, lengths: [3] } }),
  ];
  const numbers = [
    value([1, 3, 1], [5, 6, 7]), value([2, 1, 2], [1, 2, 3, -4]), value([1, 3, 2, 1], [0, 5, 5, 6, 6, 7]),
    value([1, 3, 2], [15, -20, 23, -14, 27, -16]), value([1, 2], [27, -14]), value([1, 3, 1], [10, 12, 7]),
  ];
  const writer = {
    graph: { ...graph, nodes }, values: numbers, names: new Map(nodes.map((x, k) => [k, x.name])),
    stops: () => true, numbers: true, digits: 4,
  };
  expect(worked(writer, 3, 3)).toBe("5 * 2 + 6 * (-4)");
  expect(worked(writer, 3, 0)).toBe("0 * 1 + 5 * 3");
  expect(worked({ ...writer, numbers: false }, 3, 3)).toBe("x[0, 0] * w[0, 0, 1] + x[1, 0] * w[1, 0, 1]");
  expect(worked(writer, 4, 1)).toBe("max(-20, -14, -16)");
  expect(worked(writer, 5, 0)).toBe("5 + 5");
  expect(worked(writer, 5, 2)).toBe("7");
  expect(typeText(writer.graph, 0)).toBe("float64[N, time=3, 1]");
  expect(seenBy(writer.graph, numbers, 3, 3)).toEqual({
    planes: [{ channel: null, window: [[5, 6]], weights: [[2, -4]], products: [[10, -24]] }], total: -14, count: 2,
  });
  expect(seenBy(writer.graph, numbers, 0, 0)).toBe(null);
  expect(seenBy(writer.graph, numbers, 4, 0)).toBe(null); // the largest over all places
});

test("an entry of a transposed convolution shows what each weight brings, and a volume its planes", () => {
  const value = (shape: number[], data: number[]) => ({ dtype: "float64" as const, shape, data: Float64Array.from(data) });
  const form = (name: string, shape: NodeForm["shape"], rest: Partial<NodeForm>): NodeForm =>
    ({ name, kind: "operation", part: "forward", shape, dtype: "float64", source: "", ...rest });
  const steps = { axis: 1, lengths: [5], stride: [2], dilation: [1], before: [0] };
  const nodes = [
    form("x", ["N", 2, 1], { kind: "input" }), form("w", [3, 1, 1], { kind: "parameter" }),
    form("p", ["N", 2, 3, 1], { op: "einsum", operands: [0, 1], attributes: { equation: "nxi,uio->nxuo" } }),
    form("t", ["N", 5, 1], { op: "overlap_add", operands: [2], attributes: steps }),
  ];
  const numbers = [value([1, 2, 1], [2, 3]), value([3, 1, 1], [1, 10, 100]), value([1, 2, 3, 1], [2, 20, 200, 3, 30, 300]), value([1, 5, 1], [2, 20, 203, 30, 300])];
  expect(seenBy({ ...graph, nodes }, numbers, 3, 2)).toEqual({
    planes: [{ channel: null, window: [[3, 0, 2]], weights: [[1, 10, 100]], products: [[3, 0, 200]] }], total: 203, count: 3,
  });
  expect(seenBy({ ...graph, nodes }, numbers, 3, 1)!.planes[0]!.window).toEqual([[0, 2, 0]]);
  const pool = [
    form("v", ["N", 2, 2, 2, 1], { kind: "input" }),
    form("s", ["N", 1, 1, 1, 2, 2, 2, 1], { op: "windows", operands: [0], attributes: { axis: 1, size: [2, 2, 2] } }),
    form("m", ["N", 1, 1, 1, 1], { op: "max", operands: [1], attributes: { axis: [4, 5, 6], keepdims: false } }),
  ];
  const eight = [1, 2, 3, 4, 5, 6, 7, 8];
  const seen = [value([1, 2, 2, 2, 1], eight), value([1, 1, 1, 1, 2, 2, 2, 1], eight), value([1, 1, 1, 1, 1], [8])];
  expect(seenBy({ ...graph, nodes: pool }, seen, 2, 0)!.planes[0]!.window).toEqual([[1, 2], [3, 4], [5, 6], [7, 8]]);
});

test("the parts of steps are layers by direction, and the time steps of recurrent ones", () => {
  const names = ["x", "r.w", "r.t0.z", "r.t1.z", "r.t1.h", "r", "y"];
  const nodes = names.map((name): NodeForm => ({ name, kind: "operation", part: "forward", shape: ["N", 1], dtype: "float64", source: "", op: "tanh", operands: [] }));
  const layers = [{ name: "r", what: "rnn, 2 steps", nodes: [1, 2, 3, 4, 5], parameters: 1 }, { name: "y", what: "tanh", nodes: [6], parameters: 0 }];
  const made = (direction: "forward" | "backward", node: number) => ({ direction, node }) as (typeof all)[number];
  const list = [...[2, 3, 4, 5, 6].map((k) => made("forward", k)), ...[6, 5, 4, 2, 1].map((k) => made("backward", k))];
  const { parts, of } = partsOf({ ...graph, nodes, layers }, list);
  expect(parts.map((p) => `${p.direction} ${p.name} ${p.first} ${p.count}`)).toEqual([
    "forward r, time step 0 0 1", "forward r, time step 1 1 2", "forward r 3 1", "forward y 4 1",
    "backward y 5 1", "backward r 6 2", "backward r, time step 1 7 1", "backward r, time step 0 8 1",
  ]);
  expect(of).toEqual([0, 1, 1, 2, 3, 4, 5, 6, 7, 5]);
});

test("arrays of images are shown as pictures, one of each channel", () => {
  const form = (name: string, shape: NodeForm["shape"], rest: Partial<NodeForm>): NodeForm =>
    ({ name, kind: "operation", part: "forward", shape, dtype: "float64", source: "", ...rest });
  const seen = { axis: 1, size: [2, 2], stride: [1, 1], dilation: [1, 1], before: [0, 0], after: [0, 0], fill: { float: "0.0" } };
  const nodes = [
    form("x", ["N", 3, 4, 2], { kind: "input" }),
    form("w", [2, 2, 2, 5], { kind: "parameter" }),
    form("a", ["N", 3, 4, 2], { op: "relu", operands: [0] }),
    form("seen", ["N", 2, 3, 2, 2, 2], { op: "windows", operands: [2], attributes: seen }),
    form("c", ["N", 2, 3, 5], { op: "einsum", operands: [3, 1], attributes: { equation: "nxyuvi,uvio->nxyo" } }),
    form("h", ["N", 2, 3, 5], { op: "relu", operands: [4] }),
    form("scores", ["N", 2, 3, 5], { kind: "input" }),
  ];
  const pictures = new Pictures({ ...graph, nodes, ops: { ...graph.ops, relu: { ...graph.ops.sigmoid!, kind: "map" } } });
  const orders = nodes.map((x, k) => pictures.order(k, x.shape.length)?.join("") ?? "");
  expect(orders).toEqual(["0312", "2301", "0312", "012534", "0312", "0312", ""]);
  const value = { dtype: "float64" as const, shape: [1, 2, 2, 3], data: Float64Array.from({ length: 12 }, (_, k) => k) };
  const shown = arranged(value, [0, 3, 1, 2]);
  expect(shown.value.shape).toEqual([1, 3, 2, 2]);
  expect([...shown.value.data].map(Number)).toEqual([0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]);
  for (let k = 0; k < 12; k++) expect([shown.from(shown.to(k)), Number(shown.value.data[shown.to(k)])]).toEqual([k, k]);
  expect([0, 1].map((axis) => axisWord([2, 3, 0, 1], axis))).toEqual(["channel ", "filter "]);
});
