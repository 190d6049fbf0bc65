/** The likely slip behind a wrong number: what each common mistake would give is compared with it. */
import type { Value } from "../arrays";
import { isValue, type Result } from "../core/evaluate";
import type { Step } from "../core/steps";
import type { GraphForm, NodeForm } from "../document";
import { unravel } from "../parts/numbers";
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
    ["the sign is wrong", -e],
    ["a factor 2 is too much", 2 * e],
    ["a factor 2 is missing", e / 2],
    [`the mean over the ${c.rows} rows is missing: divide by ${c.rows}`, c.rows > 1 ? e * c.rows : undefined],
    [`divided by the ${c.rows} rows once too often`, c.rows > 1 ? e / c.rows : undefined],
    ["a power of ten is wrong: look at the decimal point", e * 10],
    ["a power of ten is wrong: look at the decimal point", e / 10],
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
  const [first, second] = [named(c.graph, node.operands?.[0]), named(c.graph, node.operands?.[1])];
  const two = a !== undefined && b !== undefined;
  switch (node.op) {
    case "add": return two ? [
      [`${second} is not added`, a], [`${first} is not added`, b], [`${second} is subtracted, not added`, a - b],
    ] : [];
    case "subtract": return two ? [
      [`the sign of the error: it is ${first} - ${second}, not the other way round`, b - a],
      [`${second} is added, not subtracted`, a + b],
    ] : [];
    case "multiply": return two ? [[`added, not multiplied`, a + b], [`the factor ${second} is missing`, a], [`the factor ${first} is missing`, b]] : [];
    case "divide": return two ? [[`the division by ${second} is missing`, a], ["multiplied, not divided", a * b], ["the fraction is upside down", b / a]] : [];
    case "square": case "power": return a === undefined ? [] : [["the square is missing", a], ["doubled, not squared", 2 * a]];
    case "negative": return a === undefined ? [] : [["the minus is missing", a]];
    case "log": return a === undefined ? [] : [["the logarithm to base 10: the natural one is meant", Math.log10(a)], ["the logarithm is missing", a]];
    case "matmul": return products(c, node);
    case "sum": case "mean": case "sum_to": return totals(c, node);
    case "softmax": return shares(c, node);
  }
  if (node.operands?.length !== 1 || a === undefined || c.graph.ops[node.op ?? ""]?.kind !== "map") return [];
  return [
    [`the activation is missing: '${node.op}' is not applied`, a],
    ["the slope of the activation, not its value", slopeAt(c)],
    ["the activation of the number without its sign", node.op === "sigmoid" ? 1 - c.expected : undefined],
  ];
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
  const weights = named(c.graph, node.operands![1]);
  const others = Array.from({ length: Math.min(width, 64) }, (_, l): Candidate => [
    `the neighbour's weights: unit ${j} has column ${j} of ${weights}, this is column ${l}`, l === j ? undefined : sum((k) => at(k, l)),
  ]);
  const single = inner > 1 && inner <= 64 ? x.map((xk, k): Candidate => [
    `only the product of entry ${k}: add up the products of all ${inner}`, xk * at(k, j),
  ]) : [];
  return [
    [`the neighbour's weights: this is row ${j} of ${weights}, and a unit has a column`, inner === width ? sum((k) => at(j, k)) : undefined],
    ...others,
    ["the weights are missing: each number counts times its weight", x.reduce((p, q) => p + q, 0)],
    ...single,
  ];
}

function totals(c: Case, node: NodeForm): Candidate[] {
  const value = c.values[node.operands![0]!], own = c.values[c.step.node];
  if (!isValue(value) || !isValue(own)) return [];
  const n = value.data.length / Math.max(1, own.data.length);
  return [
    ["the mean, not the sum", node.op !== "mean" && n > 1 ? c.expected / n : undefined],
    [`the sum, not the mean: divide by ${n}`, node.op === "mean" && n > 1 ? c.expected * n : undefined],
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
    const consumers = terms.map((t) => `'${c.graph.nodes[t.consumer]!.name}'`);
    const all = consumers.length === 2 ? "both consumers" : `all ${consumers.length} consumers`;
    terms.forEach((t, k) => found.push([`sum over ${all}: only what ${consumers[k]} sends is there`, t.total]));
  }
  for (const term of terms) {
    const rest = c.expected - term.total;
    for (const [sentence, x] of ofTerm(c, term)) found.push([sentence, x === undefined ? x : x + rest]);
  }
  return found;
}

/** The slips in what one consumer sends. */
function ofTerm(c: Case, term: Term): Candidate[] {
  const consumer = c.graph.nodes[term.consumer]!;
  const name = `'${consumer.name}'`;
  const only = term.sent.length === 1 ? term.sent[0] : undefined;
  const activation = consumer.operands?.length === 1 && c.graph.ops[consumer.op ?? ""]?.kind === "map";
  const found: Candidate[] = [];
  if (consumer.op === "subtract" && term.position === 1)
    found.push([`the sign of the error: ${name} falls when this grows`, -term.total]);
  if (only) {
    const missing = activation && !["negative", "square", "cast"].includes(consumer.op ?? "")
      ? `the activation's slope is missing: times the derivative of ${consumer.op}`
      : consumer.op === "matmul" ? `the weight is missing: what ${name} sends counts times it`
      : `the local derivative of ${name} is missing`;
    found.push([missing, only.incoming], [`the gradient that ${name} sends is missing: this is the local derivative alone`, only.local]);
    found.push(...slopes(c, term, only.incoming, only.local));
  } else if (term.sent.length > 1) {
    found.push(["the weights are missing: what each unit sends counts times its weight", term.sent.reduce((s, x) => s + x.incoming, 0)]);
    found.push([`the gradients that ${name} sends are missing: these are the weights alone`, term.sent.reduce((s, x) => s + x.local, 0)]);
    if (term.sent.length <= 64)
      for (const x of term.sent)
        found.push([`sum over all entries of ${name}: only what entry ${x.entry} sends is there`, x.incoming * x.local]);
  }
  if (consumer.op === "matmul") found.push(...crossed(c, term, consumer));
  return found;
}

/** Slopes taken at the wrong place, or without their square. */
function slopes(c: Case, term: Term, incoming: number, local: number): Candidate[] {
  const op = c.graph.nodes[term.consumer]!.op;
  const z = Number((c.values[c.step.node] as Value | undefined)?.data?.[c.entry]);
  const y = Number((c.values[term.consumer] as Value | undefined)?.data?.[c.entry]);
  if (op === "sigmoid") return [
    ["the slope of the sigmoid is y (1 - y) with its value y, not with its argument", incoming * z * (1 - z)],
    ["the factor (1 - y) of the sigmoid's slope is missing", incoming * y], ["the factor y of the sigmoid's slope is missing", incoming * (1 - y)],
  ];
  if (op === "tanh") return [
    ["the slope of tanh is 1 - y^2 with its value y, not with its argument", incoming * (1 - z * z)], ["the square is missing in the slope of tanh, 1 - y^2", incoming * (1 - y)],
  ];
  if (op === "square") return [["the 2 of the square's derivative is missing", (incoming * local) / 2]];
  if (op === "divide") return [["multiplied, not divided, on the way back", local ? incoming / local : undefined]];
  return [];
}

/** Weights of the wrong unit: those of another entry, or the matrix read the other way round. */
function crossed(c: Case, term: Term, consumer: NodeForm): Candidate[] {
  const weights = c.values[consumer.operands![1]!], sends = c.values[term.incoming], own = c.values[c.step.node];
  if (!isValue(weights) || !isValue(sends) || !isValue(own)) return [];
  if (term.position === 1) {
    const x = c.values[consumer.operands![0]!];
    if (!isValue(x) || x.data.length > 64) return [];
    return Array.from(Array.from({ length: sends.data.length }).flatMap((_, k) => Array.from({ length: x.data.length }, (_, l): Candidate => [
      "the neighbour's weight: another input, or another unit, belongs to this one", Number(sends.data[k]) * Number(x.data[l]),
    ])));
  }
  const [rows, columns] = [weights.shape[0]!, weights.shape[1]!];
  const [i, k] = unravel(c.entry, own.shape) as [number, number];
  if (weights.shape.length !== 2 || own.shape.length !== 2 || rows * columns > 4096) return [];
  const sum = (weight: (j: number) => number): number =>
    Array.from({ length: columns }, (_, j) => Number(sends.data[i * columns + j]) * weight(j)).reduce((p, q) => p + q, 0);
  const at = (r: number, j: number): number => Number(weights.data[r * columns + j]);
  return [
    ["the neighbour's weight: the matrix is read the other way round", rows === columns ? sum((j) => at(j, k)) : undefined],
    ...Array.from({ length: Math.min(rows, 64) }, (_, r): Candidate => [
      `the neighbour's weight: this unit's weights are row ${k} of ${named(c.graph, consumer.operands![1])}, these are row ${r}`,
      r === k ? undefined : sum((j) => at(r, j)),
    ]),
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
    ["the rate is forgotten: the change is the rate times the gradient", slope === undefined ? undefined : before - slope],
    ["the step goes against the gradient: subtract, do not add", before - change],
    ["the rate is forgotten, and the step goes against the gradient: subtract", slope === undefined ? undefined : before + slope],
    ["the change alone: the new value is the old value and the change", change],
    ["the change alone, and with the other sign: the new value is the old value less it", -change],
    ["the gradient, not the new value", slope],
    ["the old value: it is not updated", before],
  ];
}
