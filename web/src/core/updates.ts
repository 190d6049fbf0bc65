/** The steps of the update: new values by the optimizer's own formula, as in explain/steps.py. */
import { decode } from "../arrays";
import type { GraphForm, UpdateStepForm } from "../document";
import type { Result } from "./evaluate";
import { byName, byNumber, expression, number, SHOWN, shown } from "./formula";
import { Backward, type Step } from "./steps";

/** A step for each new value, and for each of their parts that has a name of its own.
 *
 * The node of a step is the parameter or slot that gets the new value, or the part itself.
 */
export function updateSteps(
  graph: GraphForm, values: readonly Result[], entries = SHOWN,
): Step[] {
  const names = numbered(graph.updating.names);
  return graph.updating.steps.map((form) => {
    const [formula, numbers] = texts(graph, values, form, names, entries);
    return {
      direction: "update",
      node: form.parameter ?? form.node,
      name: form.title,
      formula: `${form.title} = ${formula}`,
      numbers,
      result: form.node,
      value: values[form.node]!,
      consumers: [],
      passed: [],
    };
  });
}

/** A step's formula, by names and by numbers. */
function texts(
  graph: GraphForm, values: readonly Result[], { node, title, own, known }: UpdateStepForm,
  names: ReadonlyMap<number, string>, entries: number,
): [string, string] {
  if (known) return [names.get(node) ?? title, shown(values[node]!, 6, entries)];
  const beta = decayed(graph, node);
  if (beta) return [`1 - ${beta.base}^t`, `1 - ${beta.base}^${shown(values[beta.step]!)}`];
  const titles = numbered(own);
  return [
    expression(graph, node, byName(graph, names, titles), false),
    expression(graph, node, byNumber(graph, names, values, titles, entries), false),
  ];
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
export function namesIn(graph: GraphForm, values: readonly Result[]): Map<number, string> {
  return new Map([
    ...new Backward(graph, values).leaves, ...numbered(graph.updating.names),
    ...graph.updating.steps.map(({ node, title }) => [node, title] as const),
    ...graph.nodes.flatMap((x, k) => (x.kind === "parameter" ? [[k, x.name] as const] : [])),
  ]);
}
