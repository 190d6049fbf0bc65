/** How a page writes single entries: by names, by numbers; of one step, of a whole layer. */
import { transparent } from "../core/formula";
import { namesIn } from "../core/updates";
import { sizesText, type GraphForm } from "../document";
import type { Session } from "../session.svelte";
import type { Writer } from "./worked";

const known = new WeakMap<GraphForm, Map<number, string>>();

/** The names that formulas use: of forward nodes, gradients ("∂E/∂h"), and new values. */
export function namesOf(session: Session): Map<number, string> {
  const { graph } = session.document;
  let names = known.get(graph);
  if (!names) known.set(graph, (names = namesIn(graph)));
  return names;
}

/** Writes entries by numbers or names; operations that have names stand for themselves. */
export function writer(
  session: Session, numbers: boolean, stops: (node: number) => boolean = (k) => namesOf(session).has(k),
): Writer {
  const { graph } = session.document;
  return { graph, values: session.values, names: namesOf(session), stops, numbers, digits: 4 };
}

/** Stops nowhere: for all that a unit does, down to the factors of its sums. */
export function unitStops(): boolean {
  return false;
}

/** The nodes that a node reads, by their names: through what only repeats another. */
export function reads(graph: GraphForm, node: number): number[] {
  const found = new Set<number>();
  const visit = (k: number): void => {
    const form = graph.nodes[k]!;
    if (form.op === "constant") return;
    if (form.kind === "operation" && transparent(graph, k)) form.operands!.forEach(visit);
    else found.add(k);
  };
  graph.nodes[node]?.operands?.forEach(visit);
  return [...found];
}

/** A node's type in words: "float64[N, 2]". */
export function typeText(graph: GraphForm, node: number): string {
  const form = graph.nodes[node]!;
  if (form.unbuilt) return "not built";
  return form.shape.length ? `${form.dtype}[${sizesText(form)}]` : form.dtype;
}
