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
const MOST_ENTRIES = 512, MOST_WORK = 2e6;

/** The part of a graph between a consumer's gradient and a term, with all else given. */
class Rule {
  readonly #graph: GraphForm;
  readonly #given = new Map<number, Value>();
  readonly #from: number;
  readonly #to: number;
  readonly #rows: number;
  /** The multiplications of it, about. */
  readonly size: number;
  /** The entries of the term, and those of its last axis. */
  readonly length: number;
  readonly width: number;
  readonly #row: (row: number) => Rule;

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
    const term = values[to];
    this.length = isValue(term) ? term.data.length : 0;
    this.width = isValue(term) ? term.shape.at(-1) ?? 1 : 1;
    this.#row = (row) => {
      const own = [...values];
      for (const k of kept) {
        const value = values[k];
        if (graph.nodes[k]!.shape[0] === "N" && isValue(value)) own[k] = rowOf(value, row, rows);
      }
      return new Rule(graph, own, from, to, 1);
    };
  }

  /** The same for one row of the minibatch. */
  row(row: number): Rule {
    return this.#row(row);
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
      : tried(graph, rule, sends, incoming, term.gradient, rows, entry, total);
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
  graph: GraphForm, whole: Rule, sends: Value, incoming: number, to: number, rows: number, entry: number, total: number,
): Sent[] {
  const alone = rows > 1 ? oneRow(graph, whole, sends, incoming, to, rows, entry, total) : null;
  const { rule, given, from, at, n } = alone ?? { rule: whole, given: sends, from: 0, at: entry, n: rows };
  const most = Math.max(1, Math.min(MOST_ENTRIES, Math.floor(MOST_WORK / rule.size)));
  let entries = Array.from({ length: given.data.length }, (_, k) => k);
  if (entries.length > most) {
    const size = (k: number): number => Math.abs(Number(given.data[k]));
    entries = likely(whole, sends, entry, alone ? null : total, entries)
      .sort((a, b) => size(b) - size(a)).slice(0, most).sort((a, b) => a - b);
  }
  return entries.flatMap((k) => {
    const one = zeros(given.dtype, resolved(graph.nodes[incoming]!.shape, n));
    one.data[k] = 1 as never;
    const local = Number(rule.at(one)?.data[at]);
    return local === 0 ? [] : [{ entry: from + k, incoming: Number(given.data[k]), local }];
  });
}

/** The rule for the row of an entry alone, where no other row has a part in it. */
function oneRow(
  graph: GraphForm, whole: Rule, sends: Value, incoming: number, to: number, rows: number, entry: number, total: number,
): { rule: Rule; given: Value; from: number; at: number; n: number } | null {
  if (graph.nodes[incoming]!.shape[0] !== "N" || graph.nodes[to]!.shape[0] !== "N") return null;
  const each = whole.length / rows;
  const row = Math.floor(entry / each);
  const given = rowOf(sends, row, rows), rule = whole.row(row);
  const found = rule.at(given)?.data[entry % each];
  if (found === undefined || !near(Number(found), total)) return null;
  return { rule, given, from: row * given.data.length, at: entry % each, n: 1 };
}

/** The entries at the same place of the last axis, where these give the total; else all. */
function likely(rule: Rule, sends: Value, entry: number, total: number | null, all: number[]): number[] {
  const width = sends.shape.at(-1) ?? 1;
  if (total === null || width < 2 || rule.width !== width) return all;
  const some = { ...sends, data: sends.data.slice() };
  for (let k = 0; k < some.data.length; k++) if (k % width !== entry % width) some.data[k] = 0 as never;
  return near(Number(rule.at(some)?.data[entry]), total) ? all.filter((k) => k % width === entry % width) : all;
}

function near(x: number, total: number): boolean {
  return Math.abs(x - total) <= 1e-5 * Math.max(Math.abs(x), Math.abs(total));
}

/** A row of a value whose first axis is the batch's. */
function rowOf(value: Value, row: number, rows: number): Value {
  const each = value.data.length / rows;
  return { ...value, shape: [1, ...value.shape.slice(1)], data: value.data.slice(row * each, (row + 1) * each) };
}
