/** How each item looks at the present step: its numbers, and what is marked. */
import { isValue, type Result } from "../core/evaluate";
import type { GraphForm } from "../document";
import type { Session } from "../session.svelte";
import type { Face } from "./faces";
import { computed, progress, type Since } from "./marks";
import type { Item } from "./scene";
import { written } from "./text";
import type { Tone } from "./tone";

export interface Look {
  /** The lines of the value; empty: not shown. */
  values: string[];
  /** Below it the gradient, or the new value of a parameter, after its mark. */
  below: string[];
  pass: "gradient" | "update";
  dim: boolean;
  edited: boolean;
  changed: boolean;
  failed: boolean;
  /** Of a folded layer or block: the part of its steps that is done. */
  part: number | null;
  /** What it shows in place of its numbers. */
  tone: Tone | null;
}

/** The nodes of gradients and of new values, by the node that they are of. */
export interface Results {
  gradient: ReadonlyMap<number, number>;
  update: ReadonlyMap<number, number>;
}

/** Returns the look of an item at the session's present step. */
export function look(session: Session, since: Since, results: Results, item: Item, face: Face): Look {
  const { at } = session;
  const direction = session.step?.direction ?? null;
  const folded = item.kind === "layer" || item.kind === "block";
  const there = at < 0 || direction === null || since.value[item.node]! <= at;
  const part = folded && direction !== null && at >= 0 ? progress(since, item.nodes, at, direction) : null;
  const done = item.nodes.every((n) => computed(since, n, at, direction));
  return {
    values: face.values && there ? numbers(session, item.node, item.node) : [],
    ...(face.below ? below(session, since, results, item.node) : { below: [], pass: "gradient" as const }),
    dim: part === null ? !done : part === 0,
    edited: item.nodes.some((n) => session.editedNodes.has(n)),
    changed: item.nodes.some((n) => session.changed(n)),
    failed: failing(session.document.graph, item),
    part,
    tone: null,
  };
}

/** Returns the look of an item that shows a tone. */
export function toned(tone: Tone): Look {
  return { values: tone.text ? [tone.text] : [], below: [], pass: "gradient", dim: false, edited: false, changed: false, failed: false, part: null, tone };
}

/** The gradient of a node where it is computed, or its new value. */
function below(session: Session, since: Since, results: Results, node: number): Pick<Look, "below" | "pass"> {
  const { at } = session;
  const direction = session.step?.direction ?? null;
  const next = results.update.get(node);
  if (direction === "update" && next !== undefined && since.update[node]! <= at) {
    return { below: numbers(session, next, node), pass: "update" };
  }
  const gradient = results.gradient.get(node);
  const there = at < 0 || direction === "update" || (direction === "backward" && since.gradient[node]! <= at);
  return { below: there && gradient !== undefined ? numbers(session, gradient, node) : [], pass: "gradient" };
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
    look.values.length ? `${look.tone ? "" : "value "}${look.values.join(" ")}` : "",
    look.tone?.some ? `with nodes only in ${look.tone.some.slice(1).replace("+", " and only in ")}` : "",
    look.below.length ? `${look.pass === "update" ? "new value" : "gradient"} ${look.below.join(" ")}` : "",
  ];
  return [`${item.name.slice(0, 200)}: ${kind}`, ...folded, type, ...numbers, ...marks].filter(Boolean).join(", ");
}
