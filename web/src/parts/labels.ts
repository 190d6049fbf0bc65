/** Names of the entries along the axes of a node: rows, columns, classes, units. */
import type { InspectionDocument, NodeForm } from "../document";

/** The name of an index along an axis; undefined where it has none but its number. */
export type Names = (axis: number, index: number) => string | undefined;

/** Names for all nodes of a document. */
export class Labels {
  readonly #document: InspectionDocument;
  /** The names along the last axis of forward nodes, by node. */
  readonly #last = new Map<number, (string | undefined)[]>();
  /** The parameters, by the node that multiplies with them. */
  readonly #product = new Map<number, number>();
  /** The forward node that a gradient, or a new value, is of. */
  readonly #of = new Map<number, number>();

  constructor(document: InspectionDocument) {
    this.#document = document;
    const { nodes, gradients, updates } = document.graph;
    for (const g of gradients) if (!this.#of.has(g.gradient)) this.#of.set(g.gradient, g.node);
    for (const u of updates) this.#of.set(u.new, u.parameter);
    this.#fromEncoders();
    nodes.forEach((node, k) => {
      if (node.part === "forward") this.#forward(node, k);
    });
    this.#fromTarget();
  }

  /** The names of a node's entries, given which rows of the document are shown. */
  names(node: number, rows: readonly number[]): Names {
    const form = this.#document.graph.nodes[node];
    const of = this.#of.get(node) ?? node;
    const rank = form?.shape.length ?? 0;
    const last = this.#last.get(of);
    const product = this.#product.get(of);
    const read = product === undefined ? undefined : this.#document.graph.nodes[product]?.operands;
    return (axis, index) => {
      if (form?.shape[axis] === "N") return this.#document.rows[rows[index]!]?.label;
      if (product !== undefined && rank === 2)
        return axis === 0 ? this.#last.get(read![0]!)?.[index] : this.#last.get(product)?.[index];
      return axis === rank - 1 ? last?.[index] : undefined;
    };
  }

  #width(node: number): number {
    const size = this.#document.graph.nodes[node]?.shape.at(-1);
    return typeof size === "number" ? size : 0;
  }

  /** Names an input's places, and the numbers that an encoder makes of a column. */
  #fromEncoders(): void {
    const { nodes } = this.#document.graph;
    const inputs = new Map(nodes.flatMap((x, k) => (x.kind === "input" ? [[x.name, k]] : [])));
    const seen = new Map<number, Map<number, string>>();
    for (const encoder of this.#document.encoders)
      for (const part of encoder.parts) {
        const input = inputs.get(part.input);
        const name = part.name === "code" || part.name === "features" || part.name === encoder.column
          ? encoder.column : `${encoder.column}: ${part.name}`;
        if (input !== undefined && part.position !== null) this.#name(input, part.position, name);
        for (const { node, entries } of part.seen)
          entries.forEach((entry, k) => {
            const own = seen.get(node) ?? new Map<number, string>();
            const level = part.name === "code" && entries.length > 1
              ? encoder.levels.slice(-entries.length)[k] : undefined;
            own.set(entry, level ? `${encoder.column} = ${level}` : name);
            seen.set(node, own);
          });
      }
    for (const [node, names] of seen)
      for (const [entry, name] of names) this.#name(node, entry, name);
  }

  #name(node: number, entry: number, name: string): void {
    const width = this.#width(node);
    if (!width) return;
    const names = this.#last.get(node) ?? new Array<string | undefined>(width);
    if (entry < width) names[entry] = name;
    this.#last.set(node, names);
  }

  /** Hands names on through ops that keep the last axis, and finds the products. */
  #forward(node: NodeForm, k: number): void {
    const operands = node.operands ?? [];
    const { nodes, ops } = this.#document.graph;
    if (node.op === "matmul" && nodes[operands[1]!]?.kind === "parameter")
      this.#product.set(operands[1]!, k);
    if (this.#last.has(k) || !operands.length) return;
    if (node.op === "concat") {
      const names = operands.flatMap((x) => this.#last.get(x) ?? new Array(this.#width(x)));
      if (names.length === this.#width(k) && names.some(Boolean)) this.#last.set(k, names);
    } else if (node.op && ops[node.op]?.kind === "map" || node.op === "cast") {
      const from = operands.find((x) => this.#last.has(x) && this.#width(x) === this.#width(k));
      if (from !== undefined) this.#last.set(k, this.#last.get(from)!);
    }
  }

  /** Names the classes, back from the answer to the product that makes it. */
  #fromTarget(): void {
    const { target, graph } = this.#document;
    const stack = target?.classes.length && target.output != null ? [target.output] : [];
    while (stack.length) {
      const k = stack.pop()!;
      const node = graph.nodes[k]!;
      if (this.#width(k) !== target!.classes.length || this.#last.get(k) === target!.classes) continue;
      this.#last.set(k, target!.classes);
      if (node.op !== "matmul") stack.push(...(node.operands ?? []));
    }
  }
}

/** The index of an entry as text: "row 17, bill_length_mm", or "0, 3" where it has no names. */
export function indexText(index: readonly number[], names: Names): string {
  return index.map((k, axis) => names(axis, k) ?? String(k)).join(", ");
}
