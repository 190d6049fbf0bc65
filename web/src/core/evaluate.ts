/** The evaluator: the value of every node of a graph, by the meaning that NumPy gives it in Python.
 *
 * Every op of Chainrule is computed. An op that a user made in Python is not, nor is anything that
 * depends on it: such a node has a failure, a sentence, in place of a value. Values are never
 * written to once they are made, and may share their memory.
 */
import { decode, size, type Value } from "../arrays";
import type { Attribute, Dim, GraphForm, InspectionDocument, NodeForm } from "../document";
import { type Call, type Kernel, type Setting, Uncomputable } from "./call";
import { KERNELS } from "./ops/table";
import { joined } from "./values";

/** Why a node has no value, and the node where that began: itself, or one that it depends on. */
export interface Failure {
  failure: string;
  at: number;
}

export type Result = Value | Failure;

/** Whether a result is an array. */
export function isValue(result: Result | null | undefined): result is Value {
  return result != null && "data" in result;
}

export function failed(result: Result): result is Failure {
  return "failure" in result;
}

/** The value of every node.
 *
 * @param given the values of inputs and parameters, by index. Any other node may be given too: then
 *   it is not computed.
 * @param rows the length of the batch axis N.
 */
export function evaluate(
  graph: GraphForm, given: ReadonlyMap<number, Value>, rows: number,
): Result[] {
  const results: Result[] = [];
  prepared(graph).forEach((node, k) => {
    results.push(given.has(k) ? fitting(node.form, given.get(k)!, rows, k) : computed(node, k, results, rows));
  });
  return results;
}

/** The values after an edit: only what depends on the nodes that change is computed again.
 *
 * @param before the results for the same graph and number of rows.
 * @param changed new values, of nodes of any kind, by index.
 */
export function reevaluate(
  graph: GraphForm, before: readonly Result[], changed: ReadonlyMap<number, Value>, rows: number,
): Result[] {
  const results = [...before];
  const nodes = prepared(graph);
  const moved = new Set<number>();
  for (let k = 0; k < nodes.length; k++) {
    const node = nodes[k]!;
    if (changed.has(k)) results[k] = fitting(node.form, changed.get(k)!, rows, k);
    else if (node.operands.some((x) => moved.has(x))) results[k] = computed(node, k, results, rows);
    else continue;
    moved.add(k);
  }
  return results;
}

/** All nodes that depend on some nodes, those included. */
export function dependents(graph: GraphForm, on: Iterable<number>): Set<number> {
  const found = new Set(on);
  graph.nodes.forEach((node, k) => {
    if (node.operands?.some((x) => found.has(x))) found.add(k);
  });
  return found;
}

// ---------------------------------------------------------------- what is given

/** The values of a document's inputs and parameters, by index, for some of its rows together. */
export function givenOf(
  document: Pick<InspectionDocument, "graph" | "rows">, rows: readonly number[],
): Map<number, Value> {
  const { nodes, values, given } = document.graph;
  const out = new Map<number, Value>();
  nodes.forEach((node, k) => {
    if (node.kind === "operation") return;
    const form = own(values, node.name) ?? own(given, node.name);
    if (form) return void out.set(k, decode(form));
    const forms = rows.map((row) => own(document.rows[row]?.feeds ?? {}, node.name));
    if (forms.length && forms.every((x) => x !== undefined))
      out.set(k, joined(forms.map((x) => decode(x!))));
  });
  return out;
}

/** What a user's name stands for: "constructor" is one too. */
function own<T>(record: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}

/** A shape with N replaced by the number of rows. */
export function resolved(shape: readonly Dim[], rows: number): number[] {
  return shape.map((dim) => (dim === "N" ? rows : dim));
}

// ---------------------------------------------------------------- nodes

interface Prepared {
  form: NodeForm;
  kernel: Kernel | undefined;
  operands: readonly number[];
  attributes: Record<string, Setting | "N">;
  training: boolean;
}

const known = new WeakMap<GraphForm, Prepared[]>();

/** The nodes with their kernels and attributes, decoded once for a graph. */
function prepared(graph: GraphForm): Prepared[] {
  const before = known.get(graph);
  if (before) return before;
  const nodes = graph.nodes.map((form) => ({
    form,
    kernel: form.op === undefined ? undefined : KERNELS.get(form.op),
    operands: form.operands ?? [],
    attributes: Object.fromEntries(
      Object.entries(form.attributes ?? {}).map(([name, value]) => [name, setting(value)]),
    ),
    training: graph.training,
  }));
  known.set(graph, nodes);
  return nodes;
}

/** An attribute of the document as the kernels read it. */
export function setting(value: Attribute): Setting {
  if (Array.isArray(value)) return value.map(setting);
  if (value === null || typeof value !== "object") return value;
  if ("array" in value) return decode(value.array);
  return "integer" in value ? BigInt(value.integer) : numberOf(value.float);
}

function numberOf(text: string): number {
  return text.endsWith("inf") ? (text.startsWith("-") ? -Infinity : Infinity) : Number(text);
}

function computed(node: Prepared, k: number, results: readonly Result[], rows: number): Result {
  const { form } = node;
  if (form.kind !== "operation") return { failure: `'${form.name}' has no value: none is given`, at: k };
  const operands: Value[] = [];
  for (const x of node.operands) {
    const value = results[x]!;
    if (failed(value)) return value;
    operands.push(value);
  }
  if (!node.kernel) return { failure: unknownOp(form), at: k };
  const call: Call = {
    operands,
    attributes: inRows(node.attributes, rows),
    shape: resolved(form.shape, rows),
    dtype: form.dtype,
    stream: Number(form.stream ?? 0),
    training: node.training,
  };
  try {
    return node.kernel(call);
  } catch (error) {
    if (error instanceof Uncomputable) return { failure: `'${form.name}': ${error.message}`, at: k };
    if (error instanceof RangeError) {
      return { failure: `'${form.name}' needs more memory than the browser gives`, at: k };
    }
    if (!(error instanceof Error)) throw error;
    return { failure: `'${form.name}' cannot be computed here: ${error.message}`, at: k };
  }
}

function unknownOp(form: NodeForm): string {
  return `'${form.name}' is not computed here: its op '${form.op}' is Python code, made by cr.op`;
}

function inRows(attributes: Prepared["attributes"], rows: number): Record<string, Setting> {
  const { shape } = attributes;
  if (!Array.isArray(shape) || !shape.includes("N")) return attributes;
  return { ...attributes, shape: shape.map((dim) => (dim === "N" ? rows : dim)) };
}

/** A given value, if it is of the node's type. */
function fitting(form: NodeForm, value: Value, rows: number, k: number): Result {
  const shape = resolved(form.shape, rows);
  const fits = value.dtype === form.dtype && value.shape.length === shape.length &&
    value.shape.every((dim, a) => dim === shape[a]) && value.data.length === size(shape);
  if (fits) return value;
  const [got, wanted] = [value.shape, shape].map((dims) => `(${dims.join(", ")})`);
  return {
    failure: `'${form.name}' is given ${value.dtype}${got}: it holds ${form.dtype}${wanted}`, at: k,
  };
}
