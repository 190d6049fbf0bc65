/** How far the present step has computed the nodes. */
import type { GraphForm } from "../document";
import type { Direction } from "../core/steps";

/** What this module reads of a step. */
export interface StepLike {
  direction: Direction;
  node: number;
  consumers: readonly number[];
  passed: readonly number[];
}

/** By node: the first step after which it is there; NEVER: no step computes it. */
export interface Since {
  value: Int32Array;
  gradient: Int32Array;
  update: Int32Array;
}

export const NEVER = 2 ** 30;

/** Returns since which step each node has its value, its gradient, and its new value. */
export function since(graph: GraphForm, steps: readonly StepLike[]): Since {
  const count = graph.nodes.length;
  const value = new Int32Array(count).fill(NEVER);
  const gradient = new Int32Array(count).fill(NEVER);
  const update = new Int32Array(count).fill(NEVER);
  steps.forEach((step, k) => {
    const home = { forward: value, backward: gradient, update }[step.direction];
    for (const node of [step.node, ...step.passed]) home[node] = Math.min(home[node]!, k);
  });
  graph.nodes.forEach((form, k) => {
    if (value[k] !== NEVER) return;
    value[k] = Math.max(-1, ...(form.operands ?? []).map((x) => value[x]!));
  });
  for (const { node, terms } of graph.gradients) {
    if (gradient[node] !== NEVER || !terms.length) continue;
    gradient[node] = Math.max(...terms.map((t) => gradient[t.consumer]!));
  }
  return { value, gradient, update };
}

/** Whether a node is computed at a step; before the first step all of the graph is shown. */
export function computed(since: Since, node: number, at: number, direction: Direction | null): boolean {
  if (at < 0 || direction === null) return true;
  if (direction === "forward") return since.value[node]! <= at;
  if (direction === "backward") return since.gradient[node]! <= at;
  return since.update[node]! <= at || since.update[node] === NEVER;
}

/** The part of some nodes' steps in a direction that is done; null: they have none in it. */
export function progress(since: Since, nodes: readonly number[], at: number, direction: Direction): number | null {
  const home = { forward: since.value, backward: since.gradient, update: since.update }[direction];
  const steps = nodes.filter((n) => home[n]! >= 0 && home[n] !== NEVER);
  return steps.length ? steps.filter((n) => home[n]! <= at).length / steps.length : null;
}

/** For nodes of the backward pass and the update, the forward node that they are shown at. */
export function homes(graph: GraphForm): ReadonlyMap<number, number> {
  const slots = graph.updates.map((u) => [u.parameter, u.of ?? u.parameter] as const);
  return new Map([
    ...graph.gradients.map((g) => [g.gradient, g.node] as const).reverse(), ...slots,
    ...graph.updates.map((u, k) => [u.new, slots[k]![1]] as const),
  ].filter(([node]) => graph.nodes[node]?.part !== "forward"));
}
