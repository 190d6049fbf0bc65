/** The likely slip behind a wrong number: what each common mistake would give is compared with it. */
import type { Value } from "../arrays";
import { isValue, type Result } from "../core/evaluate";
import { byName, expression } from "../core/formula";
import { forwardNames, type Step } from "../core/steps";
import type { GraphForm, NodeForm } from "../document";
import { unravel } from "../parts/numbers";
import SENTENCES from "./slips.json";
import { chain, type Term } from "./chain";
import { means } from "./typed";
import { flat } from "./worked";

/** What a number is judged by. */
export interface Case {
  graph: GraphForm;
  /** The results, with the student's own earlier numbers in them. */
  values: readonly Result[];
  rows: number;
  step: Step;
  entry: number;
  /** What was typed, and what it should be. */
  text: string;
  expected: number;
}

type Candidate = [sentence: string, number: number | undefined];

/** The sentence of a slip that Python's `trace.check` knows by this name; of a gradient with its reader. */
export function said(name: keyof typeof SENTENCES, x = "", reader = ""): string {
  return SENTENCES[name].replaceAll("{x}", x).replaceAll("{c}", reader);
}

/** The likely slip in one sentence; null where none gives the number. */
export function slip(c: Case): string | null {
  const found = candidates(c).find(
    ([, x]) => x !== undefined && !means(c.text, c.expected) && means(c.text, x) && differs(x, c.expected),
  );
  return found?.[0] ?? null;
}

function differs(a: number, b: number): boolean {
  return Math.abs(a - b) > 1e-9 * Math.max(Math.abs(a), Math.abs(b));
}

function candidates(c: Case): Candidate[] {
  const own = { forward, backward, update }[c.step.direction](c);
  return [...own, ...neighbours(c), ...general(c)];
}

/** What any step can suffer from. */
function general(c: Case): Candidate[] {
  const e = c.expected;
  return [
    [said("sign"), -e],
    [said("factor_two"), 2 * e],
    [said("factor_two"), e / 2],
    [`the mean over the ${c.rows} rows is missing: divide by ${c.rows}`, c.rows > 1 ? e * c.rows : undefined],
    [`divided by the ${c.rows} rows once too often`, c.rows > 1 ? e / c.rows : undefined],
    ...[10, 0.1, 100, 0.01].map((f): Candidate => [said("decimal_point"), e * f]),
  ];
}

/** The numbers of other entries of the same array. */
function neighbours(c: Case): Candidate[] {
  const value = c.values[c.step.result];
  if (!isValue(value) || value.data.length < 2 || value.data.length > 64) return [];
  return Array.from({ length: value.data.length }, (_, k): Candidate => [
    `the neighbour's number: this is entry [${unravel(k, value.shape).join(", ")}] of the same array`,
    k === c.entry ? undefined : Number(value.data[k]),
  ]);
}

// ---------------------------------------------------------------- forward

/** The number of an operand that belongs to an entry; of a broadcast one, the number that is repeated. */
function operand(c: Case, node: NodeForm, k: number): number | undefined {
  const own = c.values[c.step.node], value = c.values[node.operands?.[k] ?? -1];
  if (!isValue(own) || !isValue(value)) return undefined;
  const index = unravel(c.entry, own.shape);
  const extra = own.shape.length - value.shape.length;
  if (extra < 0) return undefined;
  return Number(value.data[flat(value.shape.map((size, a) => (size === 1 ? 0 : index[a + extra]!)), value.shape)]);
}

/** The name of an operand, through what only repeats it. */
function named(graph: GraphForm, k: number | undefined): string {
  let node = k === undefined ? undefined : graph.nodes[k];
  while (node?.op === "broadcast_to") node = graph.nodes[node.operands![0]!];
  return node?.op === "constant" ? "the constant" : `'${node?.name ?? ""}'`;
}

function forward(c: Case): Candidate[] {
  const node = c.graph.nodes[c.step.node]!;
  const [a, b] = [operand(c, node, 0), operand(c, node, 1)];
  const second = named(c.graph, node.operands?.[1]);
  const two = a !== undefined && b !== undefined;
  switch (node.op) {
    case "add": return two ? [
      [said(bias(c.graph, node.operands![1]!) ? "bias_forgotten" : "term_forgotten"), a], [said("term_forgotten"), b], [`${second} is subtracted, not added`, a - b],
    ] : [];
    case "subtract": return two ? [
      [said("order_reversed"), b - a],
      [`${second} is added, not subtracted`, a + b],
    ] : [];
    case "multiply": return two ? [[`added, not multiplied`, a + b], [said("term_forgotten"), a], [said("term_forgotten"), b]] : [];
    case "divide": return two ? [[said("divisor_forgotten"), a], [said("divisor_forgotten"), a * b], [said("order_reversed"), b / a]] : [];
    case "square": case "power": return a === undefined ? [] : [[said("square_forgotten"), a], [said("square_forgotten"), Math.abs(a)], [said("square_forgotten"), 2 * a]];
    case "negative": return a === undefined ? [] : [["the minus is missing", a]];
    case "log": return a === undefined ? [] : [[said("activation_forgotten"), a], [said("logarithm_base"), Math.log10(a)]];
    case "matmul": return products(c, node);
    case "sum": case "mean": case "sum_to": return totals(c, node);
    case "softmax": return shares(c, node);
  }
  if (node.operands?.length !== 1 || a === undefined || c.graph.ops[node.op ?? ""]?.kind !== "map") return [];
  return [
    [said("activation_forgotten"), a],
    [said("exponent_sign"), node.op === "sigmoid" ? 1 - c.expected : undefined],
    ...others(node.op ?? "", a),
    ["the slope of the activation, not its value", slopeAt(c)],
  ];
}

/** Other activations of the same number. */
function others(op: string, z: number): Candidate[] {
  const curves: Record<string, number> = { sigmoid: 1 / (1 + Math.exp(-z)), tanh: Math.tanh(z), relu: Math.max(z, 0) };
  if (!(op in curves)) return [];
  return Object.entries(curves).map(([name, y]) => [said("other_activation"), name === op ? undefined : y]);
}

/** Whether a node is a parameter of one axis, through what only repeats it. */
function bias(graph: GraphForm, k: number): boolean {
  let node = graph.nodes[k]!;
  while (node.op === "broadcast_to") node = graph.nodes[node.operands![0]!]!;
  return node.kind === "parameter" && node.shape.length <= 1;
}

/** The slope of a sigmoid or tanh at the entry. */
function slopeAt(c: Case): number | undefined {
  const y = c.expected;
  const op = c.graph.nodes[c.step.node]!.op;
  return op === "sigmoid" ? y * (1 - y) : op === "tanh" ? 1 - y * y : undefined;
}

function products(c: Case, node: NodeForm): Candidate[] {
  const [own, a, b] = [c.values[c.step.node], ...node.operands!.map((k) => c.values[k])];
  if (!isValue(own) || !isValue(a) || !isValue(b) || a.shape.length !== 2 || b.shape.length !== 2) return [];
  const [i, j] = unravel(c.entry, own.shape) as [number, number];
  const inner = a.shape[1]!, width = b.shape[1]!;
  const x = Array.from({ length: inner }, (_, k) => Number(a.data[i * inner + k]));
  const at = (k: number, l: number): number => Number(b.data[k * width + l]);
  const sum = (weight: (k: number) => number): number => x.reduce((total, xk, k) => total + xk * weight(k), 0);
  const others = Array.from({ length: Math.min(width, 64) }, (_, l): Candidate => [
    said("weights_of_neighbour"), l === j ? undefined : sum((k) => at(k, l)),
  ]);
  const parts = inner > 1 && inner <= 64 ? x.map((xk, k) => xk * at(k, j)) : [];
  const single: Candidate[] = [
    ...parts.map((part): Candidate => [said("product_forgotten"), c.expected - part]),
    ...parts.map((part, k): Candidate => [`only the product of entry ${k}: add up the products of all ${inner}`, part]),
  ];
  return [
    ...others,
    [said("weights_transposed"), inner === width ? sum((k) => at(j, k)) : undefined],
    ...single,
    ["the weights are missing: each number counts times its weight", x.reduce((p, q) => p + q, 0)],
  ];
}

function totals(c: Case, node: NodeForm): Candidate[] {
  const value = c.values[node.operands![0]!], own = c.values[c.step.node];
  if (!isValue(value) || !isValue(own)) return [];
  const n = value.data.length / Math.max(1, own.data.length);
  return [
    [said("sum_for_mean"), node.op !== "mean" && n > 1 ? c.expected / n : undefined],
    [said("sum_for_mean"), node.op === "mean" && n > 1 ? c.expected * n : undefined],
    ["only the first number: add up all of them", n > 1 ? Number(value.data[0]) : undefined],
  ];
}

function shares(c: Case, node: NodeForm): Candidate[] {
  const x = operand(c, node, 0);
  if (x === undefined) return [];
  return [["the division by the sum of the exponentials is missing", Math.exp(x)], ["the exponential and its share are missing", x]];
}

// ---------------------------------------------------------------- backward

function backward(c: Case): Candidate[] {
  const form = c.graph.gradients.find((g) => g.node === c.step.node);
  if (!form) return [];
  const terms = chain(c.graph, c.values, form, c.rows, c.entry);
  const found: Candidate[] = [];
  if (terms.length > 1) {
    const told = said("one_reader", c.graph.nodes[c.step.node]!.name);
    for (const t of terms) found.push([told, t.total], [told, c.expected - t.total]);
  }
  for (const term of terms) {
    const rest = c.expected - term.total;
    for (const [sentence, x] of ofTerm(c, term)) found.push([sentence, x === undefined ? x : x + rest]);
  }
  return found;
}

/** A node with its formula, as `y = sigmoid(z)`. */
function statement(graph: GraphForm, node: number): string {
  return `${graph.nodes[node]!.name} = ${expression(graph, node, byName(graph, forwardNames(graph)))}`;
}

/** The slips in what one consumer sends. */
function ofTerm(c: Case, term: Term): Candidate[] {
  const consumer = c.graph.nodes[term.consumer]!;
  const name = `'${consumer.name}'`;
  const only = term.sent.length === 1 ? term.sent[0] : undefined;
  const reader = statement(c.graph, term.consumer);
  const activation = consumer.operands?.length === 1 && c.graph.ops[consumer.op ?? ""]?.kind === "map";
  const found: Candidate[] = [];
  if (consumer.op === "subtract" && term.position === 1 && differs(term.total, c.expected))
    found.push([`the sign of the error: ${name} falls when this grows`, -term.total]);
  const product = consumer.op === "matmul" ? said(term.position ? "input_missing" : "weight_missing") : null;
  if (only && activation) {
    found.push([said("slope_missing", "", reader), only.incoming], [said("slope_alone", "", reader), only.local]);
    found.push(...slopes(c, term, only.incoming, only.local));
  } else if (only && !product) {
    if (Math.abs(only.local) !== 1) found.push([`the local derivative of ${name} is missing`, only.incoming]);
    found.push([`the gradient that ${name} sends is missing: this is the local derivative alone`, only.local]);
    found.push(...slopes(c, term, only.incoming, only.local));
  }
  const own = c.graph.nodes[c.step.node]!.name;
  if (term.sent.length > 1 && term.sent.length <= 64)
    for (const x of term.sent) {
      const one = product && !term.position ? said("unit_forgotten", own)
        : `sum over all entries of ${name}: only what entry ${x.entry} sends is there`;
      found.push([one, x.incoming * x.local]);
    }
  if (product) {
    found.push(...crossed(c, term, consumer));
    if (term.position) found.push([said("input_before_activation"), beforeActivation(c, term, consumer)]);
    found.push([product, term.sent.reduce((s, x) => s + x.incoming, 0)]);
    found.push([`the gradients that ${name} sends are missing: these are the numbers of the other side alone`, term.sent.reduce((s, x) => s + x.local, 0)]);
  }
  return found;
}

/** Slopes taken at the wrong place, or without their square. */
function slopes(c: Case, term: Term, incoming: number, local: number): Candidate[] {
  const { op } = c.graph.nodes[term.consumer]!;
  const reader = statement(c.graph, term.consumer);
  const z = Number((c.values[c.step.node] as Value | undefined)?.data?.[c.entry]);
  const y = Number((c.values[term.consumer] as Value | undefined)?.data?.[c.entry]);
  const again = 1 / (1 + Math.exp(-y));
  if (op === "sigmoid") return [
    [said("slope_of_input", "", reader), incoming * z * (1 - z)],
    [said("slope_at_output", "", reader), incoming * again * (1 - again)],
    [said("slope_incomplete", "", reader), incoming * y], [said("slope_incomplete", "", reader), incoming * (1 - y)],
  ];
  if (op === "tanh") return [
    [said("slope_of_input", "", reader), incoming * (1 - z * z)],
    [said("slope_at_output", "", reader), incoming * (1 - Math.tanh(y) ** 2)], [said("slope_incomplete", "", reader), incoming * (1 - y)],
  ];
  if (op === "square") return [["the 2 of the square's derivative is missing", (incoming * local) / 2]];
  if (op === "divide") return [["multiplied, not divided, on the way back", local ? incoming / local : undefined]];
  return [];
}

/** The gradient of a weight whose input is the number before the activation. */
function beforeActivation(c: Case, term: Term, consumer: NodeForm): number | undefined {
  const input = c.graph.nodes[consumer.operands![0]!]!;
  if (input.operands?.length !== 1 || c.graph.ops[input.op ?? ""]?.kind !== "map") return undefined;
  const z = c.values[input.operands[0]!], sends = c.values[term.incoming], own = c.values[c.step.node];
  if (!isValue(z) || !isValue(sends) || !isValue(own) || z.shape.length !== 2 || own.shape.length !== 2) return undefined;
  const [i, j] = unravel(c.entry, own.shape) as [number, number];
  const [rows, width] = z.shape as [number, number], units = own.shape[1]!;
  let sum = 0;
  for (let r = 0; r < rows; r++) sum += Number(z.data[r * width + i]) * Number(sends.data[r * units + j]);
  return sum;
}

/** Weights of the wrong unit: those of another entry, or the matrix read the other way round. */
function crossed(c: Case, term: Term, consumer: NodeForm): Candidate[] {
  const weights = c.values[consumer.operands![1]!], sends = c.values[term.incoming], own = c.values[c.step.node];
  if (!isValue(weights) || !isValue(sends) || !isValue(own)) return [];
  if (term.position === 1) {
    const x = c.values[consumer.operands![0]!];
    if (!isValue(x) || x.data.length > 64) return [];
    return Array.from(Array.from({ length: sends.data.length }).flatMap((_, k) => Array.from({ length: x.data.length }, (_, l): Candidate => [
      said("gradient_of_neighbour"), Number(sends.data[k]) * Number(x.data[l]),
    ])));
  }
  const [rows, columns] = [weights.shape[0]!, weights.shape[1]!];
  const [i, k] = unravel(c.entry, own.shape) as [number, number];
  if (weights.shape.length !== 2 || own.shape.length !== 2 || rows * columns > 4096) return [];
  const sum = (weight: (j: number) => number): number =>
    Array.from({ length: columns }, (_, j) => Number(sends.data[i * columns + j]) * weight(j)).reduce((p, q) => p + q, 0);
  const at = (r: number, j: number): number => Number(weights.data[r * columns + j]);
  return [
    ...Array.from({ length: Math.min(rows, 64) }, (_, r): Candidate => [
      said("gradient_of_neighbour"), r === k ? undefined : sum((j) => at(r, j)),
    ]),
    [said("gradient_transposed"), rows === columns ? sum((j) => at(j, k)) : undefined],
  ];
}

// ---------------------------------------------------------------- update

function update(c: Case): Candidate[] {
  const old = c.values[c.step.node];
  const gradient = c.values[c.graph.gradients.find((g) => g.node === c.step.node)?.gradient ?? -1];
  if (!isValue(old)) return [];
  const before = Number(old.data[c.entry]);
  const change = c.expected - before;
  const slope = isValue(gradient) ? Number(gradient.data[c.entry]) : undefined;
  return [
    [said("rate_forgotten"), slope === undefined ? undefined : before - slope],
    [said("added"), before - change],
    [said("rate_forgotten"), slope === undefined ? undefined : before + slope],
    [said("step_alone"), change],
    [said("step_alone"), -change],
    ["the gradient, not the new value", slope],
    [said("not_updated"), before],
  ];
}
