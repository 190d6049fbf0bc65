/** Evaluates the nodes of a graph. */
import type { Value } from "../arrays";
import type { GraphForm } from "../document";

/** What a node gives: its array, or why it has none, in words. */
export type Result = Value | { failure: string };

/** Whether a result is an array. */
export function isValue(result: Result | undefined): result is Value {
  return result !== undefined && "data" in result;
}

/** Returns the result of every node, given the arrays of inputs and parameters by index. */
export function evaluate(
  graph: GraphForm, given: ReadonlyMap<number, Value>, _rows: number,
): Result[] {
  return graph.nodes.map(
    (node, k) => given.get(k) ?? { failure: `${node.op ?? node.name} is not computed here` },
  );
}
