/** The chain rule at one entry: what each entry of a consumer sends, times the local derivative.
 *
 * A rule of a gradient is linear in the consumer's gradient. So with 1 at one entry of that and 0
 * elsewhere, it gives the local derivatives of this entry of the consumer, by the page's evaluator.
 */
import { zeros, type Value } from "../arrays";
import { evaluate, isValue, resolved, type Result } from "../core/evaluate";
import type { GradientForm, GraphForm } from "../document";

/** What one entry of a consumer sends to an entry. */
export interface Sent {
  /** The flat index in the consumer. */
  entry: number;
  incoming: number;
  local: number;
}

export interface Term {
  consumer: number;
  position: number;
  /** The node of the term, and that of the consumer's gradient. */
  gradient: number;
  incoming: number;
  /** The local derivative entry by entry, where each entry of the consumer reads only its own. */
  local: Value | null;
  /** What the consumer's entries send to the chosen entry, where it is not 0. */
  sent: Sent[];
  /** What is left to the term's entry: of entries of the consumer that were not tried. */
  rest: number;
  total: number;
}

/** Entries of a consumer that are tried one by one, and multiplications that this may take. */
const MOST_ENTRIES = 512, MOST_WORK = 4e6;

/** The part of a graph between a consumer's gradient and a term, with all else given. */
class Rule {
  readonly #graph: GraphForm;
  readonly #given = new Map<number, Value>();
  readonly #from: number;
  readonly #to: number;
  readonly #rows: number;
  readonly size: number;

  constructor(graph: GraphForm, values: readonly Result[], from: number, to: number, rows: number) {
    const inside = between(graph, from, to);
    const kept = [...new Set([from, ...inside.flatMap((k) => graph.nodes[k]!.operands ?? []), ...inside, to])].sort((a, b) => a - b);
    const place = new Map(kept.map((k, at) => [k, at]));
    const computed = new Set(inside);
    this.#graph = {
      ...graph,
      nodes: kept.map((k) => {
        const node = graph.nodes[k]!;
        return computed.has(k) ? { ...node, operands: node.operands!.map((x) => place.get(x)!) }
          : { ...node, operands: [] };
      }),
    };
    for (const k of kept) {
      const value = values[k];
      if (!computed.has(k) && isValue(value)) this.#given.set(place.get(k)!, value);
    }
    this.#from = place.get(from)!;
    this.#to = place.get(to)!;
    this.#rows = rows;
    this.size = inside.reduce((sum, k) => sum + work(graph, values, k), 1);
  }

  at(gradient: Value): Value | null {
    const given = new Map(this.#given).set(this.#from, gradient);
    const result = evaluate(this.#graph, given, this.#rows)[this.#to];
    return isValue(result) ? result : null;
  }
}

/** The multiplications of a node, about. */
function work(graph: GraphForm, values: readonly Result[], node: number): number {
  const own = values[node];
  const size = isValue(own) ? own.data.length : 1;
  const first = values[graph.nodes[node]!.operands?.[0] ?? -1];
  return graph.nodes[node]!.op === "matmul" && isValue(first) ? size * (first.shape.at(-1) ?? 1) : size;
}

/** The nodes that depend on one and that another depends on, in order, the first one excluded. */
function between(graph: GraphForm, from: number, to: number): number[] {
  const above = new Set<number>([to]);
  for (let k = to; k > from; k--)
    if (above.has(k)) for (const x of graph.nodes[k]!.operands ?? []) above.add(x);
  const found = new Set<number>([from]);
  for (let k = from + 1; k <= to; k++)
    if (above.has(k) && graph.nodes[k]!.operands?.some((x) => found.has(x))) found.add(k);
  found.delete(from);
  return [...found];
}

/** The terms of a gradient, with all that is sent to one of its entries. */
export function chain(
  graph: GraphForm, values: readonly Result[], form: GradientForm, rows: number, entry: number,
): Term[] {
  const gradients = new Map(graph.gradients.map((g) => [g.node, g.gradient]));
  return form.terms.flatMap((term) => {
    const incoming = gradients.get(term.consumer);
    const [sends, arrives] = [values[incoming ?? -1], values[term.gradient]];
    if (incoming === undefined || !isValue(sends) || !isValue(arrives)) return [];
    const rule = new Rule(graph, values, incoming, term.gradient, rows);
    const total = Number(arrives.data[entry]);
    const own = elementwise(graph, term.consumer, sends, arrives) ? rule.at(ones(graph, incoming, rows)) : null;
    const sent = own ? [{ entry, incoming: Number(sends.data[entry]), local: Number(own.data[entry]) }]
      : tried(graph, rule, sends, incoming, rows, entry);
    const sum = sent.reduce((x, s) => x + (s.local === 0 ? 0 : s.incoming * s.local), 0);
    const rest = Math.abs(total - sum) > 1e-5 * Math.max(Math.abs(total), Math.abs(sum)) ? total - sum : 0;
    return [{ ...term, incoming, local: own, sent, rest, total }];
  });
}

/** Whether each entry of a consumer reads only the same entry of the operand. */
function elementwise(graph: GraphForm, consumer: number, a: Value, b: Value): boolean {
  const op = graph.nodes[consumer]!.op;
  const map = op !== undefined && (graph.ops[op]?.kind === "map" || op === "cast");
  return map && a.shape.length === b.shape.length && a.shape.every((size, k) => size === b.shape[k]);
}

function ones(graph: GraphForm, node: number, rows: number): Value {
  const form = graph.nodes[node]!;
  const value = zeros(form.dtype, resolved(form.shape, rows));
  value.data.fill(1 as never);
  return value;
}

/** What single entries of the consumer send; those with the largest gradients, where it has many. */
function tried(
  graph: GraphForm, rule: Rule, sends: Value, incoming: number, rows: number, entry: number,
): Sent[] {
  const most = Math.max(1, Math.min(MOST_ENTRIES, Math.floor(MOST_WORK / rule.size)));
  let entries = Array.from({ length: sends.data.length }, (_, k) => k);
  if (entries.length > most) {
    const size = (k: number): number => Math.abs(Number(sends.data[k]));
    entries = entries.sort((a, b) => size(b) - size(a)).slice(0, most).sort((a, b) => a - b);
  }
  return entries.flatMap((k) => {
    const one = zeros(sends.dtype, resolved(graph.nodes[incoming]!.shape, rows));
    one.data[k] = 1 as never;
    const local = Number(rule.at(one)?.data[entry]);
    return local === 0 ? [] : [{ entry: k, incoming: Number(sends.data[k]), local }];
  });
}
