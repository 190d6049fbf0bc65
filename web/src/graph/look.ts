/** How each item looks at the present step: its numbers, and what is marked. */
import { isValue, type Result } from "../core/evaluate";
import type { GraphForm } from "../document";
import type { Session } from "../session.svelte";
import { computed, type Since } from "./marks";
import type { Item } from "./scene";
import { written } from "./text";

export interface Look {
  /** The lines of the value, and of the gradient; empty: not shown. */
  values: string[];
  gradients: string[];
  dim: boolean;
  edited: boolean;
  changed: boolean;
  failed: boolean;
  /** Of a folded layer or block: the part of its nodes that is computed. */
  part: number | null;
}

/** Returns the look of an item; `gradients` has the gradient's node by node. */
export function look(
  session: Session, since: Since, gradients: ReadonlyMap<number, number>, item: Item, sizes: { values: number; gradients: number },
): Look {
  const { at } = session;
  const direction = session.step?.direction ?? null;
  const folded = item.kind === "layer" || item.kind === "block";
  const own = folded ? item.nodes : [item.node];
  const done = own.filter((n) => computed(since, n, at, direction)).length;
  const gradient = gradients.get(item.node);
  const there = at < 0 || direction === null || since.value[item.node]! <= at;
  const graded = at < 0 || direction === "update" || (direction === "backward" && since.gradient[item.node]! <= at);
  return {
    values: sizes.values && there ? numbers(session, item.node, item.node) : [],
    gradients: sizes.gradients && graded && gradient !== undefined ? numbers(session, gradient, item.node) : [],
    dim: folded ? done === 0 : done < own.length,
    edited: item.nodes.some((n) => session.editedNodes.has(n)),
    changed: item.nodes.some((n) => session.changed(n)),
    failed: failing(session.document.graph, item),
    part: folded && at >= 0 ? done / own.length : null,
  };
}

function failing(graph: GraphForm, item: Item): boolean {
  const culprit = graph.failure?.node;
  return culprit !== null && culprit !== undefined && item.nodes.includes(culprit);
}

const texts = new WeakMap<Result, string[]>();

function numbers(session: Session, node: number, owner: number): string[] {
  if (session.hidden.has(node) || session.hidden.has(owner)) return ["?"];
  const result = session.values[node];
  if (!result) return [];
  if (!isValue(result)) return ["unknown"];
  let text = texts.get(result);
  if (!text) texts.set(result, (text = written(result)));
  return text;
}

/** An item in words, for screen readers. */
export function words(item: Item, look: Look, type: string): string {
  const marks = [
    look.failed && "building failed here", look.edited && "edited", !look.edited && look.changed && "changed by an edit",
    look.dim && "not computed yet",
  ].filter(Boolean);
  const kind = item.kind === "small" ? item.what : item.kind === "operation" ? `operation ${item.what}` : item.kind;
  const folded = item.kind === "layer" || item.kind === "block" ? [`${item.what}, ${item.nodes.length} nodes, folded`] : [];
  const numbers = [
    look.values.length ? `value ${look.values.join(" ")}` : "",
    look.gradients.length ? `gradient ${look.gradients.join(" ")}` : "",
  ];
  return [`${item.name.slice(0, 200)}: ${kind}`, ...folded, type, ...numbers, ...marks].filter(Boolean).join(", ");
}
