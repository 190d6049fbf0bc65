/** The steps of the update: the new value of each parameter by the optimizer's own formula. */
import type { GraphForm } from "../document";
import type { Result } from "./evaluate";
import { expression, type Leaf, shown, SHOWN, transparent } from "./formula";
import { Backward, type Step } from "./steps";

/** The longest formula that is expanded whole; of longer ones, shared parts are named. */
const LONGEST = 400;

/** A step for each parameter and slot that the update writes. */
export function updateSteps(
  graph: GraphForm, values: readonly Result[], entries = SHOWN,
): Step[] {
  const names = updateNames(graph, values);
  const shared = sharedNodes(graph);
  const leaf = (text: (k: number) => string, stop: ReadonlySet<number>): Leaf => (k) =>
    names.has(k) || stop.has(k) ? text(k) : transparent(graph, k) ? null
      : graph.nodes[k]!.part === "update" ? null : text(k);
  return graph.updates.map(({ parameter, new: node }) => {
    const write = (text: (k: number) => string): string => {
      const whole = expression(graph, node, leaf(text, new Set()));
      return whole.length <= LONGEST ? whole : expression(graph, node, leaf(text, shared));
    };
    const name = graph.nodes[parameter]!.name;
    return {
      direction: "update",
      node: parameter,
      name,
      formula: `new ${name} = ${write((k) => names.get(k) ?? graph.nodes[k]!.name)}`,
      numbers: write((k) => shown(values[k]!, 6, entries)),
      result: node,
      value: values[node]!,
      consumers: [],
      passed: [],
    };
  });
}

/** The names of what updates read: gradients, inputs of the step, parameters, new slots. */
export function updateNames(graph: GraphForm, values: readonly Result[]): Map<number, string> {
  const names = new Map<number, string>();
  for (const [node, title] of new Backward(graph, values).titles) {
    const gradient = graph.gradients.find((g) => g.node === node)!.gradient;
    const written = graph.nodes[gradient]!.part !== "forward" && !names.has(gradient);
    if (written || graph.nodes[node]!.kind === "parameter") names.set(gradient, title);
  }
  for (const { parameter, new: node } of graph.updates)
    names.set(node, `new ${graph.nodes[parameter]!.name}`);
  graph.nodes.forEach((node, k) => {
    if (node.kind !== "operation") names.set(k, node.name.replace(/^step\./, ""));
  });
  return names;
}

/** The update's nodes that several others read. */
function sharedNodes(graph: GraphForm): Set<number> {
  const readers = new Map<number, number>();
  for (const node of graph.nodes)
    for (const x of new Set(node.operands)) readers.set(x, (readers.get(x) ?? 0) + 1);
  return new Set(
    [...readers].filter(([k, n]) => n > 1 && graph.nodes[k]!.part === "update").map(([k]) => k),
  );
}
