/** The steps through a graph: every value, then every gradient, with formulas: explain/trace.py. */
import type { GradientForm, GraphForm } from "../document";
import type { Result } from "./evaluate";
import { added, byName, byNumber, expression, SHOWN, shown, transparent } from "./formula";

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

/** All values in order of computation, then all gradients; see `Trace.steps` in Python.
 *
 * @param values of all nodes of the graph, by index.
 */
export function steps(graph: GraphForm, values: readonly Result[], options: Options = {}): Step[] {
  const entries = options.entries ?? SHOWN;
  return [...forwardSteps(graph, values, entries), ...new Backward(graph, values, entries).steps()];
}

/** A step as `str` of a TraceStep in Python. */
export function stepText(step: Step, entries = SHOWN): string {
  return `${step.formula}\n    = ${step.numbers}\n    = ${shown(step.value, 9, entries)}`;
}

/** The names of the nodes of the forward pass. */
export function forwardNames(graph: GraphForm): Map<number, string> {
  const forward = graph.nodes.map((node, k) => [k, node] as const);
  return new Map(forward.filter(([, x]) => x.part === "forward").map(([k, x]) => [k, x.name]));
}

function forwardSteps(graph: GraphForm, values: readonly Result[], entries: number): Step[] {
  const names = forwardNames(graph);
  const leaf = byName(graph, names);
  const numbers = byNumber(graph, names, values, new Map(), entries);
  const out: Step[] = [];
  for (const [node, name] of names) {
    if (graph.nodes[node]!.kind !== "operation" || transparent(graph, node)) continue;
    out.push({
      direction: "forward",
      node,
      name,
      formula: `${name} = ${expression(graph, node, leaf)}`,
      numbers: expression(graph, node, numbers),
      result: node,
      value: values[node]!,
      consumers: [],
      passed: [],
    });
  }
  return out;
}

/** The gradients of a graph as formulas. */
export class Backward {
  private readonly names: Map<number, string>;
  /** Such as "∂E/∂W1", by node, in the order of computation. */
  readonly titles = new Map<number, string>();
  /** Names, and titles by the node of the gradient. */
  readonly leaves: Map<number, string>;
  private readonly forms: Map<number, GradientForm>;

  constructor(
    private readonly graph: GraphForm, private readonly values: readonly Result[],
    private readonly entries = SHOWN,
  ) {
    this.names = forwardNames(graph);
    this.leaves = new Map(this.names);
    this.forms = new Map(graph.gradients.map((form) => [form.node, form]));
    const loss = graph.loss === null ? "" : graph.nodes[graph.loss]!.name;
    for (const { node, gradient } of graph.gradients) {
      if (transparent(graph, node)) continue;
      const title = `∂${loss}/∂${graph.nodes[node]!.name}`;
      this.titles.set(node, title);
      // where two are one node, that nearest to the loss
      if (!this.leaves.has(gradient)) this.leaves.set(gradient, title);
    }
  }

  /** The gradient of a node as the document has it. */
  form(node: number): GradientForm | undefined {
    return this.forms.get(node);
  }

  steps(): Step[] {
    const written = new Map<number, { formula: string; numbers: string }>();
    const home = new Map<number, number>();
    const passed = new Map<number, number[]>();
    for (const node of this.titles.keys()) {
      const texts = this.terms(node).map(({ gradient, readers }) => this.term(gradient, readers));
      const formula = added(texts.map(([x]) => x));
      written.set(node, { formula, numbers: added(texts.map(([, x]) => x)) });
      const read = this.terms(node).flatMap(({ readers }) => readers);
      const onto = read.find((x) => this.titles.get(x) === formula);
      home.set(node, node);
      if (onto === undefined || this.graph.nodes[node]!.kind !== "operation") continue;
      const first = home.get(onto)!;
      home.set(node, first);
      passed.set(first, [...(passed.get(first) ?? []), node]);
    }
    return [...written].filter(([node]) => home.get(node) === node).map(([node, texts]) =>
      this.step(node, passed.get(node) ?? [], texts.formula, texts.numbers),
    );
  }

  private step(node: number, passed: number[], formula: string, numbers: string): Step {
    const { gradient, terms } = this.forms.get(node)!;
    return {
      direction: "backward",
      node,
      name: this.graph.nodes[node]!.name,
      formula: [...[node, ...passed].map((x) => this.titles.get(x)!), formula].join(" = "),
      numbers,
      result: gradient,
      value: this.values[gradient]!,
      consumers: terms.map((term) => term.consumer),
      passed,
    };
  }

  /** The terms of a node's gradient, each with the nodes from whose gradients it is computed. */
  terms(node: number): { gradient: number; readers: number[] }[] {
    const { gradient, terms } = this.forms.get(node)!;
    if (!terms.length) return [{ gradient, readers: [] }];
    return terms.map((x) => ({ gradient: x.gradient, readers: this.readers(x.consumer) }));
  }

  /** A term by the names, and by the numbers, of what it reads. */
  term(gradient: number, readers: readonly number[]): [string, string] {
    const own = new Map<number, string>();
    for (const x of [...readers].reverse()) own.set(this.forms.get(x)!.gradient, this.titles.get(x)!);
    if (own.has(gradient)) return [own.get(gradient)!, shown(this.values[gradient]!, 6, this.entries)];
    return [
      expression(this.graph, gradient, byName(this.graph, this.leaves, own)),
      expression(
        this.graph, gradient, byNumber(this.graph, this.leaves, this.values, own, this.entries),
      ),
    ];
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
