/** By how much two arrays differ, and the tones of nodes by it. */
import type { Value } from "../arrays";
import { isValue, type Result } from "../core/evaluate";
import { transparent } from "../core/formula";
import type { GraphForm } from "../document";
import type { Tone } from "../graph/tone";
import { short } from "../parts/numbers";
import type { Merged, Pair } from "./merge";

/** The difference of two arrays of one shape. */
export interface Difference {
  /** The largest difference of two entries; NaN where one of the two is NaN. */
  absolute: number;
  /** The same, relative to the largest entry of both. */
  relative: number;
  /** The entries that differ. */
  entries: number;
  /** The flat index of the largest. */
  at: number;
}

/** Two results beside each other: their difference, or why there is none. */
export type Compared = Difference | "a" | "b" | "shapes" | "unknown";

export type Measure = "value" | "gradient";

/** The difference of two arrays; NaN equals NaN. */
export function difference(a: Value, b: Value): Difference {
  let absolute = 0, scale = 0, entries = 0, at = 0;
  for (let k = 0; k < a.data.length; k++) {
    const x = Number(a.data[k]), y = Number(b.data[k]);
    scale = Math.max(scale, Math.abs(x), Math.abs(y)); // NaN stays
    if (x === y || (Number.isNaN(x) && Number.isNaN(y))) continue;
    entries++;
    const apart = Math.abs(x - y);
    if (Number.isNaN(absolute) || (apart <= absolute && entries > 1)) continue;
    absolute = apart;
    at = k;
  }
  return { absolute, relative: scale > 0 && scale < Infinity ? absolute / scale : absolute, entries, at };
}

export function isDifference(x: Compared | null): x is Difference {
  return x !== null && typeof x === "object";
}

/** Two results compared; null: there is nothing of the kind. */
export function compared(a: Result | undefined, b: Result | undefined): Compared | null {
  if (!a && !b) return null;
  if (!a || !b) return a ? "a" : "b";
  if (!isValue(a) || !isValue(b)) return "unknown";
  const alike = a.shape.length === b.shape.length && a.shape.every((n, k) => n === b.shape[k]);
  return alike ? difference(a, b) : "shapes";
}

/** The node whose value a measure is, by forward node. */
export function nodesOf(graph: GraphForm, measure: Measure): (node: number) => number | undefined {
  if (measure === "value") return (node) => node;
  const gradients = new Map(graph.gradients.map((g) => [g.node, g.gradient]));
  return (node) => gradients.get(node);
}

/** Compares all nodes of a merged graph; null for those without the measure in one of them. */
export function comparedAll(
  { graph, pairs }: Merged, forms: readonly [GraphForm, GraphForm], values: readonly [readonly Result[], readonly Result[]], measure: Measure,
): (Compared | null)[] {
  const of = forms.map((form) => nodesOf(form, measure));
  return pairs.map((pair, k) => {
    if (pair.a === null || pair.b === null) return transparent(graph, k) ? null : alone(pair);
    const [x, y] = [pair.a, pair.b].map((node, side) => values[side]![of[side]!(node) ?? -1]);
    return measure === "gradient" && (!x || !y) ? null : compared(x, y);
  });
}

function alone(pair: Pair): "a" | "b" {
  return pair.a === null ? "b" : "a";
}

/** The steps of the colour: a relative difference of 0, up to 1 %, 10 %, 50 %, and more. */
export const LEVELS = [0, 0.01, 0.1, 0.5, Infinity] as const;

export function levelOf(x: Difference): number {
  if (!x.entries) return 0;
  return Number.isNaN(x.relative) ? 4 : Math.max(1, LEVELS.findIndex((most) => x.relative <= most));
}

/** A relative difference as text: "12 %". */
export function percent(x: number): string {
  if (!Number.isFinite(x)) return short(x);
  if (x >= 1) return `${Math.round(100 * x)} %`;
  return x < 0.0001 ? "< 0.01 %" : `${short(100 * x, 2)} %`;
}

/** The tone of some nodes: that of the one that differs most, or what only one of both has. */
export function toneOf(all: readonly (Compared | null)[], nodes: readonly number[]): Tone {
  const found = nodes.flatMap((k) => all[k] ?? []);
  const some = (what: Compared) => found.includes(what);
  const lone = found.length > 0 && found.every((x) => x === found[0]);
  if (lone && (some("a") || some("b"))) {
    const only = some("a") ? "A" : "B";
    return { level: null, only, some: "", text: `only in ${only}` };
  }
  const differences = found.filter(isDifference);
  const most = differences.reduce<Difference | null>((best, x) => (best && !(rank(x) > rank(best)) ? best : x), null);
  const tone = { only: null, some: `${some("a") ? "+A" : ""}${some("b") ? "+B" : ""}` };
  if (some("shapes")) return { ...tone, level: 4, text: "other shape" };
  if (!most) return { ...tone, level: null, text: some("unknown") ? "not computed" : "" };
  return { ...tone, level: levelOf(most), text: most.entries ? `differs ${percent(most.relative)}` : "equal" };
}

/** The order of differences: NaN is the most. */
export function rank(x: Difference): number {
  return Number.isNaN(x.relative) ? Infinity : x.relative;
}

/** B - A, entry by entry, in 64 bits. */
export function minus(b: Value, a: Value): Value {
  const data = Float64Array.from({ length: a.data.length }, (_, k) => {
    const [x, y] = [Number(a.data[k]), Number(b.data[k])];
    return x === y || (Number.isNaN(x) && Number.isNaN(y)) ? 0 : y - x;
  });
  return { dtype: "float64", shape: a.shape, data };
}
