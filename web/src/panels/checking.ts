/** Lines computed by hand, judged: the first wrong one is named, and what follows from it is not counted. */
import type { Value } from "../arrays";
import { isValue, reevaluate, type Result } from "../core/evaluate";
import type { Step } from "../core/steps";
import { withEntry } from "../core/values";
import type { GraphForm } from "../document";
import { parsed } from "../parts/numbers";
import { slip } from "./slips";
import { agreement } from "./typed";

/** A line to compute: some entries of a step. */
export interface Line {
  step: Step;
  entries: number[];
}

export interface Verdict {
  kind: "empty" | "right" | "few digits" | "wrong" | "unreadable" | "follows";
  /** The entry that decides. */
  entry: number;
  /** The likely slip. */
  slip: string | null;
  /** The number of the line whose error this one carries on, from 1. */
  from: number | null;
}

/** The entries of a line that are asked for. */
export const MOST_ASKED = 9;

/** The lines of steps: all entries of small arrays, of a large one the largest. */
export function linesOf(steps: readonly Step[]): Line[] {
  return steps.flatMap((step) => {
    if (!isValue(step.value) || step.value.data.length === 0) return [];
    const { data } = step.value;
    if (data.length <= MOST_ASKED) return [{ step, entries: Array.from({ length: data.length }, (_, k) => k) }];
    let best = 0;
    for (let k = 1; k < data.length; k++) if (Math.abs(Number(data[k])) > Math.abs(Number(data[best]))) best = k;
    return [{ step, entries: [best] }];
  });
}

/** Judges what was typed, by line and entry. */
export function judge(
  graph: GraphForm, values: readonly Result[], rows: number, lines: readonly Line[],
  typed: (line: number, entry: number) => string,
): Verdict[] {
  // what was typed, and of that what is wrong: earlier numbers may be used rounded, or exact
  const own = new Map<number, Value>(), bad = new Map<number, Value>();
  const wrong: { line: number; result: number }[] = [];
  return lines.map(({ step, entries }, at) => {
    const texts = entries.map((entry) => [entry, typed(at, entry).trim()] as const).filter(([, text]) => text !== "");
    if (!texts.length) return { kind: "empty", entry: entries[0]!, slip: null, from: null };
    const mine = own.size ? reevaluate(graph, values, own, rows) : values;
    const carried = bad.size ? reevaluate(graph, values, bad, rows) : values;
    const verdict = worst(texts.map(([entry, text]) => one({ graph, values, mine, carried, rows, step }, entry, text)));
    if (verdict.kind === "follows") verdict.from = source(graph, step.result, wrong);
    if (verdict.kind === "wrong") wrong.push({ line: at + 1, result: step.result });
    const kept = mine[step.result];
    if (isValue(kept)) {
      const value = texts.reduce((so, [entry, text]) => withEntry(so, entry, parsed(text) ?? Number(so.data[entry])), kept);
      own.set(step.result, value);
      if (verdict.kind === "wrong") bad.set(step.result, value);
    }
    return verdict;
  });
}

interface Context {
  graph: GraphForm;
  /** The right results, those with all numbers typed so far, and those with the wrong ones alone. */
  values: readonly Result[];
  mine: readonly Result[];
  carried: readonly Result[];
  rows: number;
  step: Step;
}

function one(context: Context, entry: number, text: string): Verdict {
  const { values, mine, carried, step } = context;
  const [exact, own, late] = [values, mine, carried].map((results) => {
    const result = results[step.result];
    return isValue(result) ? Number(result.data[entry]) : NaN;
  }) as [number, number, number];
  const verdict = { entry, slip: null, from: null };
  const plain = agreement(text, exact);
  if (plain === "unreadable" || fits(text, exact, carried === values ? own : exact))
    return { ...verdict, kind: plain === "unreadable" ? plain : "right" };
  if (fits(text, late, own)) return { ...verdict, kind: close(exact, late) ? "right" : "follows" };
  if (plain === "few digits" || agreement(text, late) === "few digits") return { ...verdict, kind: "few digits" };
  const told = [mine, carried, values].map((results, k) => slip({
    graph: context.graph, values: results, rows: context.rows, step, entry, text, expected: [own, late, exact][k]!,
  }));
  return { ...verdict, kind: "wrong", slip: told.find((x) => x !== null) ?? null };
}

/** Whether a text is one of two numbers that differ by rounding alone, or between them. */
function fits(text: string, a: number, b: number): boolean {
  const x = parsed(text)!;
  const inside = close(a, b) && x >= Math.min(a, b) && x <= Math.max(a, b);
  return inside || agreement(text, a) === "right" || agreement(text, b) === "right";
}

function close(a: number, b: number): boolean {
  return Math.abs(a - b) <= 0.05 * Math.max(Math.abs(a), Math.abs(b));
}

/** The verdict of a line of several entries: the first that is wrong decides. */
function worst(verdicts: Verdict[]): Verdict {
  const order = ["unreadable", "wrong", "few digits", "follows", "right", "empty"];
  return verdicts.reduce((a, b) => (order.indexOf(b.kind) < order.indexOf(a.kind) ? b : a));
}

/** The nearest wrong line that a node depends on. */
function source(graph: GraphForm, node: number, wrong: readonly { line: number; result: number }[]): number | null {
  const before = new Set([node]);
  for (let k = node; k >= 0; k--) if (before.has(k)) for (const x of graph.nodes[k]!.operands ?? []) before.add(x);
  return wrong.filter((w) => before.has(w.result)).at(-1)?.line ?? wrong.at(-1)?.line ?? null;
}
