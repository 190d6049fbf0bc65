/** The arithmetic of one entry of an array: products, sums and functions of single numbers. */
import type { Value } from "../arrays";
import { decode } from "../arrays";
import { isValue, type Result } from "../core/evaluate";
import { expression, filled, transparent } from "../core/formula";
import { general } from "../core/pythontext";
import type { GraphForm, NodeForm } from "../document";
import { unravel } from "../parts/numbers";

/** The terms of a sum up to which all are written. */
const MOST_TERMS = 12;
/** The ops that an entry's text may hold. */
const MOST_OPS = 60;
/** Precedence of a sum, a product, a sign and a single number; see core/formula.ts. */
const SUM = 3, PRODUCT = 4, SIGN = 6, ATOM = 8;

type Written = [text: string, level: number];

/** How entries are written: by their numbers, or by the names of their nodes. */
export interface Writer {
  graph: GraphForm;
  values: readonly Result[];
  /** The names of nodes that stand for themselves. */
  names: ReadonlyMap<number, string>;
  /** Whether an operation is written as a number or name, not expanded. */
  stops: (node: number) => boolean;
  numbers: boolean;
  digits: number;
  /** A node that is 1 at one entry, by its flat index, and 0 elsewhere: for local derivatives. */
  unit?: { node: number; entry: number };
}

/** The flat index of an index. */
export function flat(index: readonly number[], shape: readonly number[]): number {
  return index.reduce((sum, k, axis) => sum * shape[axis]! + k, 0);
}

/** The computation of an entry of a node, or null where it is more than maps and sums. */
export function worked(writer: Writer, node: number, entry: number): string | null {
  const value = writer.values[node];
  if (!isValue(value) || writer.graph.nodes[node]!.kind !== "operation") return null;
  const budget = { left: MOST_OPS };
  const written = operation(writer, node, unravel(entry, value.shape), budget);
  return written && tidied(written[0]);
}

/** The local derivative of an entry of a consumer by an entry of a term, or null. */
export function localText(
  writer: Writer, term: number, entry: number, from: number, sent: number,
): string | null {
  if (term === from) return "1";
  const text = worked({ ...writer, unit: { node: from, entry: sent } }, term, entry);
  return text && text
    .replace(/(^|[(\s-])1 \* /g, "$1")
    .replace(/ \* 1(?![\d.])/g, "");
}

/** "a + -b" as "a - b", and a negative number after another sign in brackets. */
function tidied(text: string): string {
  return text
    .replace(/ \+ -(?=[\d.∂])/g, " - ")
    .replace(/ ([-*/@]) (-[\d.]+(?:e[-+]?\d+)?)/g, " $1 ($2)")
    .replace(/(^|[(\s])(-[\d.]+(?:e[-+]?\d+)?)\^/g, "$1($2)^");
}

function leaf(writer: Writer, node: number, index: readonly number[]): Written {
  const value = writer.values[node]!;
  if (!isValue(value)) return ["?", ATOM];
  const at = flat(index, value.shape);
  if (writer.unit?.node === node) return [at === writer.unit.entry ? "1" : "0", ATOM];
  const name = writer.names.get(node);
  if (writer.numbers || name === undefined) {
    const text = value.dtype.startsWith("float") ? general(Number(value.data[at]), writer.digits)
      : value.dtype === "bool" ? (value.data[at] ? "True" : "False") : String(value.data[at]);
    return [text, text.startsWith("-") ? SIGN : ATOM];
  }
  const shown = value.shape[0] === 1 && writer.graph.nodes[node]!.shape[0] === "N" ? index.slice(1) : index;
  return [value.data.length > 1 && shown.length ? `${name}[${shown.join(", ")}]` : name, ATOM];
}

/** An operand: its number or name, or expanded. */
function part(writer: Writer, node: number, index: readonly number[], budget: { left: number }): Written {
  const form = writer.graph.nodes[node]!;
  const own = form.kind !== "operation" || node === writer.unit?.node
    || (writer.stops(node) && !transparent(writer.graph, node));
  if (own || budget.left-- <= 0) return leaf(writer, node, index);
  return operation(writer, node, index, budget) ?? leaf(writer, node, index);
}

function operation(
  writer: Writer, node: number, index: readonly number[], budget: { left: number },
): Written | null {
  const { graph, values } = writer;
  const form = graph.nodes[node]!;
  const operands = form.operands ?? [];
  const shapes = operands.map((x) => shapeOf(values[x]));
  if (shapes.includes(null)) return null;
  const one = (k: number, at: readonly number[]): Written => part(writer, operands[k]!, at, budget);
  const own = values[node];
  if (!isValue(own)) return null;
  switch (form.op) {
    case "constant": return constant(writer, form, index);
    case "broadcast_to": return one(0, aligned(index, shapes[0]!));
    case "reshape": return one(0, unravel(flat(index, own.shape), shapes[0]!));
    case "transpose": return one(0, turned(form, index, shapes[0]!.length));
    case "cast": case "objective": case "stop_gradient": case "tracked": case "exchange":
    case "recomputed": case "again":
      return one(0, index);
    case "windows": {
      const at = inImage(form, index, shapes[0]!);
      return at ? one(0, at) : [filler(form), ATOM];
    }
    case "matmul": return product(writer, operands, shapes as number[][], index, budget);
    case "einsum": return contraction(writer, form, operands, shapes as number[][], index, budget);
    case "overlap_add": return overlapping(writer, form, operands[0]!, shapes[0]!, index);
    case "max": case "min": return extreme(writer, form, operands[0]!, shapes[0]!, own, index);
    case "sum": case "mean": case "sum_to": return total(writer, form, operands[0]!, shapes[0]!, own, index);
    case "softmax": case "log_softmax": return share(writer, form, operands[0]!, shapes[0]!, index);
  }
  const kind = form.op ? graph.ops[form.op]?.kind : undefined;
  if (kind !== "map") return null;
  return filled(graph, form, operands.map((_, k) => one(k, aligned(index, shapes[k]!))));
}

function shapeOf(result: Result | undefined): readonly number[] | null {
  return isValue(result) ? result.shape : null;
}

/** The index in an operand that is broadcast. */
function aligned(index: readonly number[], shape: readonly number[]): number[] {
  const extra = index.length - shape.length;
  return shape.map((size, axis) => (size === 1 ? 0 : index[axis + extra]!));
}

function turned(form: NodeForm, index: readonly number[], rank: number): number[] {
  const axes = (form.attributes?.axes ?? form.attributes?.permutation) as number[] | null | undefined;
  const source = new Array<number>(rank);
  index.forEach((k, axis) => { source[axes?.[axis] ?? rank - 1 - axis] = k; });
  return source;
}

function constant(writer: Writer, form: NodeForm, index: readonly number[]): Written {
  const held = form.attributes?.value;
  const value: Value | null =
    held && typeof held === "object" && "array" in held ? decode(held.array) : null;
  const text = value ? general(Number(value.data[flat(aligned(index, value.shape), value.shape)]), writer.digits)
    : expression(writer.graph, writer.graph.nodes.indexOf(form), () => null);
  return [text, text.startsWith("-") ? SIGN : ATOM];
}

/** The place in an image that an entry of its windows shows; null in the padding. */
function inImage(form: NodeForm, index: readonly number[], shape: readonly number[]): number[] | null {
  const at = (key: string): number[] => form.attributes![key] as number[];
  const axis = form.attributes!.axis as number, count = at("size").length;
  const places = at("size").map((_, k) =>
    index[axis + k]! * at("stride")[k]! + index[axis + count + k]! * at("dilation")[k]! - at("before")[k]!);
  if (places.some((place, k) => place < 0 || place >= shape[axis + k]!)) return null;
  return [...index.slice(0, axis), ...places, ...index.slice(axis + 2 * count)];
}

/** The number in the padding of windows. */
function filler(form: NodeForm): string {
  const value = form.attributes!.fill;
  const text = value && typeof value === "object" && "float" in value ? value.float : String(value);
  return text.replace(/\.0$/, "");
}

/** An entry read through views, as a number or a name. */
function read(writer: Writer, node: number, index: readonly number[]): string {
  const [of, at] = source(writer, node, index);
  const form = writer.graph.nodes[of]!;
  const shape = form.op === "windows" ? shapeOf(writer.values[form.operands![0]!]) : null;
  if (shape && !inImage(form, at, shape)) return filler(form);
  return leaf(writer, of, at)[0];
}

/** Reads through views to the node whose entry it is. */
function source(writer: Writer, node: number, index: readonly number[]): [number, readonly number[]] {
  const form = writer.graph.nodes[node]!;
  const inner = form.operands?.[0];
  const shape = inner === undefined ? null : shapeOf(writer.values[inner]);
  const own = shapeOf(writer.values[node]);
  if (inner === undefined || !shape || !own) return [node, index];
  if (form.op === "transpose") return source(writer, inner, turned(form, index, shape.length));
  if (form.op === "broadcast_to") return source(writer, inner, aligned(index, shape));
  if (form.op === "reshape") return source(writer, inner, unravel(flat(index, own), shape));
  const at = form.op === "windows" ? inImage(form, index, shape) : null;
  if (at) return source(writer, inner, at);
  return [node, index];
}

function product(
  writer: Writer, operands: readonly number[], shapes: readonly number[][], index: readonly number[],
  budget: { left: number },
): Written | null {
  const [a, b] = shapes;
  if (!a || !b || a.length < 2 || b.length !== 2) return null;
  const inner = a.at(-1)!;
  const term = (k: number): string => {
    return factors(read(writer, operands[0]!, [...index.slice(0, -1), k]),
      read(writer, operands[1]!, [k, index.at(-1)!]));
  };
  budget.left--;
  return products(writer, inner, term);
}

function factors(one: string, other: string): string {
  return `${one} * ${other.startsWith("-") ? `(${other})` : other}`;
}

function products(writer: Writer, count: number, term: (k: number) => string): Written {
  if (!writer.unit) return summed(count, term, PRODUCT);
  const left = Array.from({ length: count }, (_, k) => term(k)).filter((x) => !/^0 \* | \* 0$/.test(x));
  return left.length ? summed(left.length, (k) => left[k]!, PRODUCT) : ["0", ATOM];
}

/** Products over the labels that the result does not have, such as of a window and a filter. */
function contraction(
  writer: Writer, form: NodeForm, operands: readonly number[], shapes: readonly number[][],
  index: readonly number[], budget: { left: number },
): Written {
  const [terms, out] = (form.attributes!.equation as string).split("->") as [string, string];
  const labels = terms.split(",");
  const inner = [...labels[0]!].filter((label) => !out.includes(label));
  const sizes = inner.map((label) => shapes[0]![labels[0]!.indexOf(label)]!);
  const term = (k: number): string => {
    const within = unravel(k, sizes);
    const place = (label: string): number =>
      out.includes(label) ? index[out.indexOf(label)]! : within[inner.indexOf(label)]!;
    const [one, other] = labels.map((of, side) => read(writer, operands[side]!, [...of].map(place)));
    return factors(one!, other!);
  };
  budget.left--;
  return products(writer, sizes.reduce((x, y) => x * y, 1), term);
}

/** The entries of windows that are added up at a place. */
function overlapping(
  writer: Writer, form: NodeForm, operand: number, shape: readonly number[], index: readonly number[],
): Written {
  const at = (key: string): number[] => form.attributes![key] as number[];
  const axis = form.attributes!.axis as number, count = at("lengths").length;
  let found: [number[], number[]][] = [[[], []]];
  for (let k = 0; k < count; k++) {
    const pairs: [number, number][] = [];
    for (let inside = 0; inside < shape[axis + count + k]!; inside++) {
      const away = index[axis + k]! + at("before")[k]! - inside * at("dilation")[k]!;
      const window = away / at("stride")[k]!;
      if (Number.isInteger(window) && window >= 0 && window < shape[axis + k]!) pairs.push([window, inside]);
    }
    found = found.flatMap(([windows, places]) =>
      pairs.map(([w, p]): [number[], number[]] => [[...windows, w], [...places, p]]));
  }
  const entries = found.map(([windows, places]) =>
    [...index.slice(0, axis), ...windows, ...places, ...index.slice(axis + count)]);
  return summed(entries.length, (k) => read(writer, operand, entries[k]!), ATOM);
}

/** The entries among which the largest or the smallest is taken. */
function extreme(
  writer: Writer, form: NodeForm, operand: number, shape: readonly number[], own: Value,
  index: readonly number[],
): Written {
  const { count, place } = along(form, shape, own, index);
  const text = (k: number): string => read(writer, operand, place(k));
  const texts = count <= MOST_TERMS ? Array.from({ length: count }, (_, k) => text(k))
    : [text(0), text(1), text(2), `… (${count} numbers)`, text(count - 1)];
  return [`${form.op}(${texts.join(", ")})`, ATOM];
}

function summed(count: number, term: (k: number) => string, single: number): Written {
  if (count === 1) return [term(0), single];
  if (count === 0) return ["0", ATOM];
  const terms = count <= MOST_TERMS ? Array.from({ length: count }, (_, k) => term(k))
    : [term(0), term(1), term(2), `… (${count} terms)`, term(count - 1)];
  return [terms.join(" + "), SUM];
}

/** The sum, or the mean, of the entries of an operand along some axes. */
function total(
  writer: Writer, form: NodeForm, operand: number, shape: readonly number[], own: Value,
  index: readonly number[],
): Written {
  const { count, place } = along(form, shape, own, index);
  const [text, level] = summed(count, (k) => read(writer, operand, place(k)), ATOM);
  return form.op === "mean" && count > 1 ? [`(${text}) / ${count}`, PRODUCT] : [text, level];
}

/** The entries of an operand that a reduction takes together for one of its own. */
function along(
  form: NodeForm, shape: readonly number[], own: Value, index: readonly number[],
): { count: number; place: (k: number) => number[] } {
  const given = form.attributes?.axis as number[] | null | undefined;
  const extra = shape.length - own.shape.length;
  const axes = new Set(
    given ? given.map((k) => (k + shape.length) % shape.length)
      : shape.flatMap((size, k) => (k < extra || own.shape[k - extra] !== size ? [k] : [])),
  );
  const kept = own.shape.length === shape.length;
  const summedAxes = [...axes].sort((x, y) => x - y);
  const sizes = summedAxes.map((k) => shape[k]!);
  const place = (k: number): number[] => {
    const inner = unravel(k, sizes);
    let rest = 0;
    return shape.map((_, axis) => {
      if (axes.has(axis)) { if (kept) rest++; return inner[summedAxes.indexOf(axis)]!; }
      return index[rest++]!;
    });
  };
  return { count: sizes.reduce((x, y) => x * y, 1), place };
}

/** The share of an entry among the exponentials of its row, or its logarithm. */
function share(
  writer: Writer, form: NodeForm, operand: number, shape: readonly number[], index: readonly number[],
): Written | null {
  const axis = [form.attributes?.axis].flat()[0];
  if (typeof axis !== "number" || (axis + shape.length) % shape.length !== shape.length - 1) return null;
  const text = (k: number): string => leaf(writer, operand, [...index.slice(0, -1), k])[0];
  const all = summed(shape.at(-1)!, (k) => `exp(${text(k)})`, ATOM)[0];
  return form.op === "softmax" ? [`exp(${text(index.at(-1)!)}) / (${all})`, PRODUCT]
    : [`${text(index.at(-1)!)} - log(${all})`, SUM];
}
