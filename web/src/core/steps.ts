/** The steps through a graph: every value, then every gradient, with formulas: explain/trace.py. */
import type { GradientForm, GraphForm } from "../document";
import type { Result } from "./evaluate";
import { added, byName, byNumber, expression, type Names, SHOWN, shown, transparent } from "./formula";

export type Direction = "forward" | "backward" | "update";

/** One value or gradient, in order of computation. Nodes are indices into the graph's nodes. */
export interface Step {
  direction: Direction;
  node: number;
  name: string;
  /** The computation, with the names of nodes. */
  formula: string;
  /** The computation, with their numbers. */
  numbers: string;
  /** The node that holds the result: the node itself, or that of its gradient. */
  result: number;
  value: Result;
  /** For a gradient, the nodes that contribute to it, in order of summation. */
  consumers: number[];
  /** For a gradient, the nodes with the same, which only pass it on. */
  passed: number[];
}

export interface Options {
  /** An array with more entries is cut to its first three and its shape. */
  entries?: number;
}

/** What of a step stays the same when values change, and how its numbers are written. */
export interface Line extends Omit<Step, "numbers" | "value"> {
  write: (values: readonly Result[], entries: number) => string;
}

/** The steps of lines for some values; numbers are written when they are read. */
export function written(
  lines: readonly Line[], values: readonly Result[], entries = SHOWN,
): Step[] {
  return lines.map(({ write, ...line }) => {
    let numbers: string | undefined;
    return {
      ...line,
      value: values[line.result]!,
      get numbers() {
        return (numbers ??= write(values, entries));
      },
    };
  });
}

/** All values in order of computation, then all gradients; see `Trace.steps` in Python.
 *
 * @param values of all nodes of the graph, by index.
 */
export function steps(graph: GraphForm, values: readonly Result[], options: Options = {}): Step[] {
  let lines = known.get(graph);
  if (!lines) known.set(graph, (lines = [...forwardLines(graph), ...new Backward(graph).lines()]));
  return written(lines, values, options.entries);
}

const known = new WeakMap<GraphForm, Line[]>();

/** A step as `str` of a TraceStep in Python. */
export function stepText(step: Step, entries = SHOWN): string {
  return `${step.formula}\n    = ${step.numbers}\n    = ${shown(step.value, 9, entries)}`;
}

/** The names of the nodes of the forward pass. */
export function forwardNames(graph: GraphForm): Map<number, string> {
  const forward = graph.nodes.map((node, k) => [k, node] as const);
  return new Map(forward.filter(([, x]) => x.part === "forward").map(([k, x]) => [k, x.name]));
}

function forwardLines(graph: GraphForm): Line[] {
  const names = forwardNames(graph);
  const leaf = byName(graph, names);
  const shown = [...names].filter(
    ([node]) => graph.nodes[node]!.kind === "operation" && !transparent(graph, node),
  );
  return shown.map(([node, name]) => ({
    direction: "forward",
    node,
    name,
    formula: `${name} = ${expression(graph, node, leaf)}`,
    write: (values, entries) =>
      expression(graph, node, byNumber(graph, names, values, new Map(), entries)),
    result: node,
    consumers: [],
    passed: [],
  }));
}

/** A term of a gradient: its node, and the titles of the gradients that it is computed from. */
interface Term {
  gradient: number;
  readers: number[];
  own: Names;
}

/** The gradients of a graph as formulas. */
export class Backward {
  /** Such as "∂E/∂W1", by node, in the order of computation. */
  readonly titles = new Map<number, string>();
  /** Names, and titles by the node of the gradient. */
  readonly leaves: Map<number, string>;
  private readonly forms: Map<number, GradientForm>;

  constructor(private readonly graph: GraphForm) {
    const names = forwardNames(graph);
    this.leaves = new Map(names);
    this.forms = new Map(graph.gradients.map((form) => [form.node, form]));
    const loss = graph.loss === null ? "" : graph.nodes[graph.loss]!.name;
    for (const { node, gradient } of graph.gradients) {
      if (transparent(graph, node) || !names.has(node)) continue;
      const title = `∂${loss}/∂${names.get(node)}`;
      this.titles.set(node, title);
      // where two are one node, that nearest to the loss
      if (!this.leaves.has(gradient)) this.leaves.set(gradient, title);
    }
  }

  lines(): Line[] {
    const formulas = new Map<number, string>();
    const terms = new Map<number, Term[]>();
    const home = new Map<number, number>();
    const passed = new Map<number, number[]>();
    for (const node of this.titles.keys()) {
      const own = this.terms(node);
      const formula = added(own.map((term) => this.formula(term)));
      terms.set(node, own);
      formulas.set(node, formula);
      const onto = own.flatMap(({ readers }) => readers).find((x) => this.titles.get(x) === formula);
      home.set(node, node);
      if (onto === undefined || this.graph.nodes[node]!.kind !== "operation") continue;
      const first = home.get(onto)!;
      home.set(node, first);
      passed.set(first, [...(passed.get(first) ?? []), node]);
    }
    return [...this.titles.keys()].filter((node) => home.get(node) === node).map((node) =>
      this.line(node, passed.get(node) ?? [], formulas.get(node)!, terms.get(node)!),
    );
  }

  private line(node: number, passed: number[], formula: string, terms: Term[]): Line {
    const form = this.forms.get(node)!;
    return {
      direction: "backward",
      node,
      name: this.graph.nodes[node]!.name,
      formula: [...[node, ...passed].map((x) => this.titles.get(x)!), formula].join(" = "),
      write: (values, entries) => added(terms.map((term) => this.numbers(term, values, entries))),
      result: form.gradient,
      consumers: form.terms.map((term) => term.consumer),
      passed,
    };
  }

  private terms(node: number): Term[] {
    const { gradient, terms } = this.forms.get(node)!;
    if (!terms.length) return [{ gradient, readers: [], own: new Map() }];
    return terms.map((term) => {
      const readers = this.readers(term.consumer);
      const own = new Map<number, string>();
      for (const x of [...readers].reverse()) own.set(this.forms.get(x)!.gradient, this.titles.get(x)!);
      return { gradient: term.gradient, readers, own };
    });
  }

  private formula({ gradient, own }: Term): string {
    return own.get(gradient) ?? expression(this.graph, gradient, byName(this.graph, this.leaves, own));
  }

  private numbers({ gradient, own }: Term, values: readonly Result[], entries: number): string {
    if (own.has(gradient)) return shown(values[gradient]!, 6, entries);
    return expression(
      this.graph, gradient, byNumber(this.graph, this.leaves, values, own, entries),
    );
  }

  /** The node itself if it has a step, else those that read what it only repeats. */
  private readers(consumer: number): number[] {
    const found = new Set<number>();
    const stack = [consumer];
    while (stack.length) {
      const x = stack.pop()!;
      if (transparent(this.graph, x)) {
        stack.push(...[...(this.forms.get(x)?.terms ?? [])].reverse().map((term) => term.consumer));
      } else found.add(x);
    }
    return [...found];
  }
}
