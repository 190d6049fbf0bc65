/** The steps of the update: new values by the optimizer's own formula, as in explain/steps.py. */
import { decode } from "../arrays";
import type { GraphForm, UpdateStepForm } from "../document";
import type { Result } from "./evaluate";
import { byName, byNumber, expression, type Names, number, SHOWN, shown } from "./formula";
import { Backward, type Line, type Step, written } from "./steps";

/** A step for each new value, and for each of their parts that has a name of its own.
 *
 * The node of a step is the parameter or slot that gets the new value, or the part itself.
 */
export function updateSteps(
  graph: GraphForm, values: readonly Result[], entries = SHOWN,
): Step[] {
  let lines = known.get(graph);
  if (!lines) known.set(graph, (lines = updateLines(graph)));
  return written(lines, values, entries);
}

const known = new WeakMap<GraphForm, Line[]>();

function updateLines(graph: GraphForm): Line[] {
  const names = numbered(graph.updating.names);
  return graph.updating.steps.map((form) => ({
    direction: "update",
    node: form.parameter ?? form.node,
    name: form.title,
    result: form.node,
    consumers: [],
    passed: [],
    ...texts(graph, form, names),
  }));
}

/** A step's formula, and how its numbers are written. */
function texts(
  graph: GraphForm, { node, title, own, known }: UpdateStepForm, names: Names,
): Pick<Line, "formula" | "write"> {
  const beta = decayed(graph, node);
  const titles = numbered(own);
  if (known) return {
    formula: `${title} = ${names.get(node) ?? title}`,
    write: (values, entries) => shown(values[node]!, 6, entries),
  };
  if (beta) return {
    formula: `${title} = 1 - ${beta.base}^t`,
    write: (values) => `1 - ${beta.base}^${shown(values[beta.step]!)}`,
  };
  return {
    formula: `${title} = ${expression(graph, node, byName(graph, names, titles), false)}`,
    write: (values, entries) =>
      expression(graph, node, byNumber(graph, names, values, titles, entries), false),
  };
}

/** The base of `1 - beta^t`, which optimizers compute as `-expm1(t * log(beta))`. */
function decayed(graph: GraphForm, node: number): { base: string; step: number } | null {
  let operands = [node];
  for (const name of ["negative", "expm1", "multiply"]) {
    const inner = graph.nodes[operands[0]!]!;
    if (inner.op !== name) return null;
    operands = inner.operands!;
  }
  const [step, constant] = operands.map((k) => graph.nodes[k]!);
  const value = constant!.attributes?.["value"];
  if (step!.name !== "step.number" || !value || typeof value !== "object" || !("array" in value)) return null;
  const { data, ...type } = decode(value.array);
  return { base: number({ ...type, data: Float64Array.from(data as Float64Array, Math.exp) }), step: operands[0]! };
}

function numbered(names: Record<string, string>): Map<number, string> {
  return new Map(Object.entries(names).map(([node, name]) => [Number(node), name]));
}

/** The names that formulas use: of forward nodes, inputs, gradients ("∂E/∂h"), and new values. */
export function namesIn(graph: GraphForm): Map<number, string> {
  return new Map([
    ...new Backward(graph).leaves, ...numbered(graph.updating.names),
    ...graph.updating.steps.map(({ node, title }) => [node, title] as const),
    ...graph.nodes.flatMap((x, k) => (x.kind === "parameter" ? [[k, x.name] as const] : [])),
  ]);
}
