/** The window that one entry of a convolution or a pooling sees, its weights, and their products. */
import type { Value } from "../arrays";
import { isValue, type Result } from "../core/evaluate";
import type { GraphForm } from "../document";
import { unravel } from "../parts/numbers";
import { flat } from "./worked";

export interface Plane {
  /** The channel; null where there is one. */
  channel: number | null;
  window: number[][];
  /** Null of pooling. */
  weights: number[][] | null;
  products: number[][] | null;
}

export interface Seen {
  planes: Plane[];
  /** The sum of the products of all channels; null of pooling. */
  total: number | null;
  count: number;
}

const POOLS = ["max", "min", "sum", "mean"];

/** The window of an entry; null where the node is not computed of windows. */
export function seenBy(
  graph: GraphForm, values: readonly Result[], node: number, entry: number,
): Seen | null {
  const form = graph.nodes[node]!;
  const operand = form.operands?.[0];
  if (form.op === "overlap_add") return brought(graph, values, node, entry);
  const d = operand === undefined ? 0 : windowed(graph, operand);
  const [own, seen] = [values[node], values[operand ?? -1]];
  if (!d || !isValue(own) || !isValue(seen)) return null;
  const index = unravel(entry, own.shape);
  const kernel = Array.from({ length: d }, (_, k) => 1 + d + k);
  if (POOLS.includes(form.op!)) {
    const axes = form.attributes?.axis as number[];
    if (axes?.join() !== kernel.join() || form.attributes?.keepdims) return null;
    const at = [...index.slice(0, 1 + d), ...kernel.map(() => 0), ...index.slice(1 + d)];
    const window = grid(seen, at, kernel);
    return { planes: [{ channel: null, window, weights: null, products: null }], total: null, count: size(window) };
  }
  const weights = values[form.operands![1] ?? -1];
  return form.op === "einsum" && isValue(weights) ? contracted(form.attributes!.equation as string, seen, weights, index, kernel) : null;
}

/** The axes along which a node, or what it reshapes, has windows; 0 where it has none. */
function windowed(graph: GraphForm, node: number): number {
  const form = graph.nodes[node]!;
  if (form.op === "reshape") return windowed(graph, form.operands![0]!);
  return form.op === "windows" && form.attributes?.axis === 1 ? (form.attributes.size as number[]).length : 0;
}

/** Of a transposed convolution: the elements that the weights bring to an entry, 0 where none. */
function brought(graph: GraphForm, values: readonly Result[], node: number, entry: number): Seen | null {
  const { attributes, operands } = graph.nodes[node]!;
  const products = graph.nodes[operands![0]!]!;
  const [x, w] = (products.operands ?? []).map((k) => values[k]), own = values[node];
  const [stride, dilation, before] = ["stride", "dilation", "before"].map((key) => attributes![key] as number[]);
  const d = stride!.length;
  if (products.op !== "einsum" || !isValue(x) || !isValue(w) || !isValue(own)) return null;
  if (attributes!.axis !== 1 || x.shape.length !== d + 2 || w.shape.length !== d + 2) return null;
  const [row, ...rest] = unravel(entry, own.shape) as [number, ...number[]];
  const filter = rest.pop()!, size = w.shape.slice(0, d);
  const planes = Array.from({ length: x.shape.at(-1)! }, (_, c): Plane => {
    const window = table(size, (index) => {
      const at = index.map((i, a) => (rest[a]! + before![a]! - i * dilation![a]!) / stride![a]!);
      const there = at.every((k, a) => Number.isInteger(k) && k >= 0 && k < x.shape[1 + a]!);
      return there ? Number(x.data[flat([row, ...at, c], x.shape)]) : 0;
    });
    const weights = table(size, (index) => Number(w.data[flat([...index, c, filter], w.shape)]));
    return { channel: x.shape.at(-1)! > 1 ? c : null, window, weights, products: multiplied(window, weights) };
  });
  return summed(planes);
}

function contracted(
  equation: string, seen: Value, weights: Value, index: readonly number[], kernel: readonly number[],
): Seen | null {
  const [terms, out] = equation.split("->") as [string, string];
  const [a, b] = terms.split(",") as [string, string];
  const inside = kernel.map((axis) => a[axis]!);
  const rest = [...a].filter((label, axis) => !out.includes(label) && !kernel.includes(axis));
  if (inside.some((label) => out.includes(label) || !b.includes(label)) || rest.length > 1) return null;
  const channels = rest.length ? seen.shape[a.indexOf(rest[0]!)]! : 1;
  const planes = Array.from({ length: channels }, (_, c): Plane => {
    const place = (labels: string): number[] => [...labels].map((label) =>
      out.includes(label) ? index[out.indexOf(label)]! : label === rest[0] ? c : 0);
    const window = grid(seen, place(a), kernel);
    const own = grid(weights, place(b), inside.map((label) => b.indexOf(label)));
    return { channel: channels > 1 ? c : null, window, weights: own, products: multiplied(window, own) };
  });
  return summed(planes);
}

function multiplied(window: number[][], weights: number[][]): number[][] {
  return window.map((row, i) => row.map((x, j) => x * weights[i]![j]!));
}

function summed(planes: Plane[]): Seen {
  const total = planes.flatMap((plane) => plane.products!.flat()).reduce((x, y) => x + y, 0);
  return { planes, total, count: planes.length * size(planes[0]!.window) };
}

/** The entries along some axes, the others at their place, in rows and columns. */
function grid(value: Value, at: readonly number[], axes: readonly number[]): number[][] {
  return table(axes.map((axis) => value.shape[axis]!), (inside) => {
    const index = [...at];
    axes.forEach((axis, k) => { index[axis] = inside[k]!; });
    return Number(value.data[flat(index, value.shape)]);
  });
}

/** Numbers by their index, the last axis along rows; planes of a volume follow each other. */
function table(sizes: readonly number[], of: (index: number[]) => number): number[][] {
  const columns = sizes.at(-1)!, rows = sizes.slice(0, -1);
  return Array.from({ length: rows.reduce((a, b) => a * b, 1) }, (_, i) =>
    Array.from({ length: columns }, (_, j) => of([...unravel(i, rows), j])));
}

function size(rows: number[][]): number {
  return rows.length * (rows[0]?.length ?? 0);
}
