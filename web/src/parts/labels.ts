/** Names of the entries along the axes of a node: rows, columns, classes, units. */
import { decode } from "../arrays";
import type { InspectionDocument, NodeForm } from "../document";

/** The name of an index along an axis; undefined where it has none but its number. */
export type Names = (axis: number, index: number) => string | undefined;

/** Names for all nodes of a document. */
export class Labels {
  readonly #document: InspectionDocument;
  /** The names along the last axis of forward nodes, by node. */
  readonly #last = new Map<number, (string | undefined)[]>();
  /** The levels of the categories, by column. */
  readonly #levels: ReadonlyMap<string, readonly string[]>;
  /** The parameters, by the node that multiplies with them. */
  readonly #product = new Map<number, number>();
  /** The forward node that a gradient, or a new value, is of. */
  readonly #of = new Map<number, number>();

  constructor(document: InspectionDocument) {
    this.#document = document;
    this.#levels = new Map(document.encoders.map((x) => [x.column, x.levels]));
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
        if (part.name === "code") continue; // the ops that spread codes say which level each entry is
        for (const { node, entries } of part.seen) {
          const own = seen.get(node) ?? new Map<number, string>();
          for (const entry of entries) own.set(entry, name);
          seen.set(node, own);
        }
      }
    for (const [node, names] of seen)
      for (const [entry, name] of names) this.#name(node, entry, name);
  }

  #name(node: number, entry: number, name: string): void {
    const width = this.#width(node);
    if (!width) return;
    const names = this.#last.get(node) ?? new Array<string | undefined>(width).fill(undefined);
    if (entry < width) names[entry] = name;
    this.#last.set(node, names);
  }

  /** Hands names on through ops that keep the last axis, and finds the products. */
  #forward(node: NodeForm, k: number): void {
    const operands = node.operands ?? [];
    const { nodes } = this.#document.graph;
    if (node.op === "matmul" && nodes[operands[1]!]?.kind === "parameter")
      this.#product.set(operands[1]!, k);
    if (!operands.length) return;
    const found = this.#handed(node, operands, this.#width(k));
    if (!found.some(Boolean)) return;
    const own = this.#last.get(k);
    this.#last.set(k, own ? own.map((name, entry) => name ?? found[entry]) : found);
  }

  /** The names that a node's entries have from its operands; empty where none have. */
  #handed(node: NodeForm, operands: readonly number[], width: number): (string | undefined)[] {
    const { ops } = this.#document.graph;
    const of = (x: number) => this.#last.get(x) ?? new Array<undefined>(this.#width(x)).fill(undefined);
    if (node.op === "one_hot") {
      const column = this.#codes(operands[0]!);
      return (column === undefined ? [] : this.#levels.get(column) ?? []).slice(0, width).map((x) => `${column} = ${x}`);
    }
    if (node.op === "concat") {
      const names = operands.flatMap(of);
      return names.length === width ? names : [];
    }
    if (node.op === "take") {
      const chosen = node.attributes?.axis === node.shape.length - 1 ? this.#constant(operands[1]!) : [];
      return chosen.map((x) => of(operands[0]!)[x]);
    }
    if (node.op === "equal") {
      const codes = this.#constant(operands[1]!);
      return of(operands[0]!).map((column, k) => {
        const level = column === undefined ? undefined : this.#levels.get(column)?.[codes[k]!];
        return level === undefined ? column : `${column} = ${level}`;
      });
    }
    const keeps = (node.op && ops[node.op]?.kind === "map") || node.op === "cast";
    return (keeps && operands.map(of).find((x) => x.length === width && x.some(Boolean))) || [];
  }

  /** The column whose codes an input holds. */
  #codes(node: number): string | undefined {
    const { name, kind } = this.#document.graph.nodes[node]!;
    const holds = (x: { name: string; input: string; position: number | null }) =>
      x.name === "code" && x.input === name && x.position === null;
    return kind === "input" ? this.#document.encoders.find((e) => e.parts.some(holds))?.column : undefined;
  }

  /** The numbers of a constant, also where it is broadcast along rows; empty of other nodes. */
  #constant(node: number): number[] {
    const form = this.#document.graph.nodes[node]!;
    if (form.op === "broadcast_to") return this.#constant(form.operands![0]!);
    const value = form.op === "constant" ? form.attributes?.["value"] : null;
    return value && typeof value === "object" && "array" in value ? Array.from(decode(value.array).data, Number) : [];
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
