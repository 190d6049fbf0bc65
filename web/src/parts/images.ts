/** Arrays of images as pictures: which they are, and their entries with a picture in the last axes. */
import { zeros, type Value } from "../arrays";
import type { GraphForm, NodeForm } from "../document";
import { unravel } from "./numbers";

/** The order of axes in which the nodes of a graph are shown, where it is not their own. */
export class Pictures {
  readonly #orders = new Map<number, readonly number[]>();

  constructor(graph: GraphForm) {
    const { nodes } = graph;
    const planar = (form: NodeForm): boolean =>
      form.op === "windows" && form.attributes?.axis === 1 && (form.attributes.size as number[]).length === 2;
    const images = new Set<number>(), windows = new Set<number>();
    const add = (k: number | undefined): void => { if (k !== undefined && nodes[k]!.shape.length === 4) images.add(k); };
    nodes.forEach((form, k) => {
      if (planar(form)) {
        add(form.operands![0]);
        windows.add(k);
        this.#orders.set(k, [0, 1, 2, 5, 3, 4]); // (N, h, w, kh, kw, c)
      } else if (form.op === "reshape" && windows.has(form.operands![0]!)) windows.add(k);
      if (form.op === "overlap_add" && form.attributes?.axis === 1 && (form.attributes.lengths as number[]).length === 2) {
        add(k); // of a transposed convolution, which reads products of an image and filters
        const products = form.operands![0]!, [x, w] = nodes[products]!.operands ?? [];
        if (nodes[products]!.op === "einsum" && w !== undefined && nodes[w]!.kind === "parameter") {
          add(x);
          this.#orders.set(w, [2, 3, 0, 1]);
          this.#orders.set(products, [0, 1, 2, 5, 3, 4]);
        }
      }
      const [one, other] = form.operands ?? [];
      if (one !== undefined && windows.has(one) && form.op !== "reshape" && form.op !== "windows") {
        add(k);
        const w = other === undefined ? undefined : nodes[other];
        if (form.op === "einsum" && w?.kind === "parameter" && w.shape.length === 4)
          this.#orders.set(other!, [2, 3, 0, 1]); // (kh, kw, i, o)
      }
      if (alike(graph, k).some((x) => images.has(x))) add(k);
    });
    for (let k = nodes.length - 1; k >= 0; k--)
      if (images.has(k)) alike(graph, k).forEach(add);
    for (const k of images) this.#orders.set(k, [0, 3, 1, 2]); // (N, h, w, c)
  }

  /** The order of a node's axes; null: its own. */
  order(node: number, rank: number): readonly number[] | null {
    const order = this.#orders.get(node);
    return order?.length === rank ? order : null;
  }
}

/** The operands of an elementwise node that have its shape. */
function alike(graph: GraphForm, node: number): number[] {
  const form = graph.nodes[node]!;
  const map = form.op !== undefined && (graph.ops[form.op]?.kind === "map" || form.op === "broadcast_to");
  return map ? form.operands!.filter((x) => graph.nodes[x]!.shape.join() === form.shape.join()) : [];
}

const WORDS: Readonly<Record<string, readonly string[]>> = {
  "0,3,1,2": ["", "channel "],
  "0,1,2,5,3,4": ["", "at ", "", "channel "],
  "2,3,0,1": ["channel ", "filter "],
};

/** The word before an index along an axis of an order. */
export function axisWord(order: readonly number[], axis: number): string {
  return WORDS[order.join()]?.[axis] ?? "";
}

/** A value with its axes in another order, and where its entries were. */
export interface Arranged {
  value: Value;
  /** The flat index of an entry in the value itself, and that in the arranged one. */
  from: (entry: number) => number;
  to: (entry: number) => number;
}

/** The value in an order of axes; null: as it is. */
export function arranged(value: Value, order: readonly number[] | null): Arranged {
  if (!order) return { value, from: (k) => k, to: (k) => k };
  const shape = order.map((axis) => value.shape[axis]!);
  const turned = zeros(value.dtype, shape);
  const flat = (index: readonly number[], sizes: readonly number[]): number =>
    index.reduce((sum, k, axis) => sum * sizes[axis]! + k, 0);
  const from = (entry: number): number => {
    const index = new Array<number>(order.length);
    unravel(entry, shape).forEach((k, place) => { index[order[place]!] = k; });
    return flat(index, value.shape);
  };
  const to = (entry: number): number => {
    const index = unravel(entry, value.shape);
    return flat(order.map((axis) => index[axis]!), shape);
  };
  for (let k = 0; k < turned.data.length; k++) turned.data[k] = value.data[from(k)]! as never;
  return { value: turned, from, to };
}
