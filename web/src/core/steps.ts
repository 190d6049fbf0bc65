/** The steps of a graph: every value forward, every gradient backward, every update. */
import type { GraphForm } from "../document";
import type { Result } from "./evaluate";

export type Direction = "forward" | "backward" | "update";

/** A step: the texts are those of Python's `trace.steps()`. */
export interface Step {
  direction: Direction;
  /** The node that the step is about, and its name. */
  node: number;
  name: string;
  /** The computation with the names of nodes, and with their numbers. */
  formula: string;
  numbers: string;
  /** The result: the node's value, its gradient, or the new value of the parameter. */
  value: Result;
  /** The nodes that contribute to a gradient, in order of summation. */
  consumers: number[];
  /** The nodes with the same gradient, which only pass it on. */
  passed: number[];
}

/** Returns the steps in order of computation. */
export function steps(graph: GraphForm, values: readonly Result[]): Step[] {
  return graph.nodes.flatMap((node, k) =>
    node.kind !== "operation" || node.part !== "forward" ? [] : [{
      direction: "forward" as const, node: k, name: node.name, formula: node.name, numbers: "",
      value: values[k]!, consumers: [], passed: [],
    }],
  );
}
