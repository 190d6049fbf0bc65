/** Nodes as formulas, with the names of their operands or with their numbers: explain/formula.py. */
import { decode, type Value } from "../arrays";
import type { GraphForm, NodeForm } from "../document";
import { isFloat } from "./call";
import { failed, type Result } from "./evaluate";
import { attributeText, entry } from "./pythontext";

/** The number of entries up to which an array is written in full, unless another is asked for. */
export const SHOWN = 40;

/** The text for a node, or null to expand the node's own formula. */
export type Leaf = (node: number) => string | null;

/** Whether formulas show the node's operand, or its number, in place of the node. */
export function transparent(graph: GraphForm, node: number): boolean {
  const formula = template(graph, graph.nodes[node]!);
  return formula === "{0}" || formula === "{value}";
}

function template(graph: GraphForm, node: NodeForm): string | null {
  return node.op === undefined ? null : (graph.ops[node.op]?.formula ?? `${node.op}({0}, ...)`);
}

/** The formula of a node, expanded down to the nodes that `leaf` has a text for.
 *
 * The node itself is expanded even if it is a leaf elsewhere.
 *
 * @param casts whether a cast between floating-point types is written.
 */
export function expression(graph: GraphForm, node: number, leaf: Leaf, casts = true): string {
  const done = new Map<number, [string, number]>();
  const stack = [node];
  while (stack.length) {
    const top = stack.at(-1)!;
    const form = graph.nodes[top]!;
    const text = top === node ? null : leaf(top);
    if (text !== null || form.kind !== "operation") {
      const shown = text ?? form.name;
      done.set(top, [shown, leading(shown)]);
    } else {
      const todo = form.operands!.filter((x) => !done.has(x));
      if (todo.length) {
        stack.push(...todo);
        continue;
      }
      const operands = form.operands!.map((x) => done.get(x)!);
      const only = !casts && form.op === "cast" && isFloat(graph.nodes[form.operands![0]!]!.dtype);
      done.set(top, only ? operands[0]! : filled(graph, form, operands));
    }
    stack.pop();
  }
  return done.get(node)![0];
}

/** The op's template with its operands, in parentheses if their precedence is lower.
 *
 * @param operands the text of each with its precedence.
 */
export function filled(
  graph: GraphForm, node: NodeForm, operands: readonly [string, number][],
): [string, number] {
  const given = template(graph, node)!;
  if (given === "{0}") return operands[0]!;
  const complete = given.replaceAll("{0}, ...", () => listed(operands.length));
  const { level, uses } = read(complete);
  const texts = operands.map(([text, inner], k) =>
    (uses.get(k) ?? []).some((use) => needsBrackets(inner, ...use)) ? `(${text})` : text,
  );
  const text = complete.replace(/\{(\w+)\}/g, (mark, name: string) =>
    /^\d+$/.test(name) ? (texts[Number(name)] ?? mark) : attribute(node, name),
  );
  return [text, text.startsWith("-") ? Math.min(level, SIGN) : level];
}

function attribute(node: NodeForm, name: string): string {
  const value = node.attributes?.[name];
  const array = value !== null && typeof value === "object" && "array" in value;
  return array ? number(decode(value.array)) : attributeText(value);
}

/** The places of any number of operands; of many, the first ones and the last. */
function listed(count: number): string {
  const places = Array.from({ length: count }, (_, k) => `{${k}}`);
  return (count <= 6 ? places : [...places.slice(0, 4), "...", places.at(-1)!]).join(", ");
}

/** The sum of formulas, with brackets around choices, logic and comparisons. */
export function added(terms: readonly string[]): string {
  if (terms.length === 1) return terms[0]!;
  const low = PRECEDENCE.filter(([, level]) => level < SUM);
  return terms.map((x) => (low.some(([mark]) => mark.test(x)) ? `(${x})` : x)).join(" + ");
}

// ---------------------------------------------------------------- brackets
// Precedence of formulas: as in Python, except that brackets separate `@` from `*`.

const [CHOICE, LOGIC, COMPARISON, SUM, PRODUCT, MATRIX, SIGN, GRADIENT, POWER, ATOM] =
  [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] as const;

/** The precedence of a leaf: of a negative number, of ∂E/∂w, of others. */
function leading(text: string): number {
  return text.startsWith("-") ? SIGN : text.startsWith("∂") ? GRADIENT : ATOM;
}

const PRECEDENCE: readonly [RegExp, number][] = [
  [/ if | in training|^else /, CHOICE], [/ (and|or|xor) |^not /, LOGIC],
  [/ [<>=!]=? /, COMPARISON], [/ [+-] /, SUM], [/ [*/] /, PRODUCT], [/ @ /, MATRIX],
  [/^-/, SIGN], [/\^/, POWER],
];

/** Whether an operand of precedence `inner` needs brackets in a formula of `level`. */
function needsBrackets(inner: number, level: number, associative: boolean): boolean {
  const mixed = inner === MATRIX && level === PRODUCT;
  return inner < level || mixed || (inner === level && !associative);
}

interface Read {
  level: number;
  /** For each use of an operand, the precedence around it, and whether an equal one is fine. */
  uses: Map<number, [number, boolean][]>;
}

const templates = new Map<string, Read>();

/** The precedence of a template, and the contexts of its operands; see `_read` in Python. */
function read(text: string): Read {
  const known = templates.get(text);
  if (known) return known;
  const uses: Read["uses"] = new Map();
  const nested = [""];
  const close = (part: string): number => {
    const level = PRECEDENCE.find(([mark]) => mark.test(part))?.[1] ?? ATOM;
    for (const [place, k] of part.matchAll(/\{(\d)\}/g)) {
      const first = ([SUM, PRODUCT, MATRIX] as number[]).includes(level) && part.startsWith(place);
      const chain = part.includes(" + ") || part.includes(" * ");
      if (part !== place) uses.set(Number(k), [...(uses.get(Number(k)) ?? []), [level, first || chain]]);
    }
    return level;
  };
  for (const character of text.replace(/\|([^|]*)\|/g, "($1)")) {
    if ("([".includes(character)) nested.push("");
    else if (")],".includes(character)) {
      close(nested.pop()!.trim());
      if (character === ",") nested.push("");
    } else nested[nested.length - 1] += character;
  }
  const out = { level: close(nested.pop()!), uses };
  templates.set(text, out);
  return out;
}

// ---------------------------------------------------------------- numbers

/** An array as text: a number, nested lists, or its first entries and its shape.
 *
 * @param digits significant ones.
 * @param entries the number of them up to which all are written.
 */
export function number(value: Value, digits = 6, entries = SHOWN): string {
  const count = value.data.length;
  if (count === 1) return entry(value, 0, digits);
  if (count > entries) {
    const first = [0, 1, 2].filter((k) => k < count).map((k) => entry(value, k, digits));
    return `[${first.join(", ")}, ... ${value.shape.join("x")}]`;
  }
  const row = value.shape.length === 2 && value.shape[0] === 1;
  return list(value, row ? value.shape.slice(1) : value.shape, 0, digits);
}

function list(value: Value, shape: readonly number[], from: number, digits: number): string {
  if (!shape.length) return entry(value, from, digits);
  const [length, ...rest] = shape as [number, ...number[]];
  const width = rest.reduce((product, dim) => product * dim, 1);
  const parts = Array.from({ length }, (_, k) => list(value, rest, from + k * width, digits));
  return `[${parts.join(", ")}]`;
}

/** The number of a result; "?" where it has none. */
export function shown(result: Result, digits = 6, entries = SHOWN): string {
  return failed(result) ? "?" : number(result, digits, entries);
}

export type Names = ReadonlyMap<number, string>;

/** Leaves as their names; transparent nodes are expanded, unless `own` has names for them. */
export function byName(graph: GraphForm, names: Names, own: Names = new Map()): Leaf {
  return (node) => own.get(node) ?? (transparent(graph, node) ? null : (names.get(node) ?? null));
}

/** Leaves as their numbers. */
export function byNumber(
  graph: GraphForm, names: Names, values: readonly Result[], own: Names = new Map(), entries = SHOWN,
): Leaf {
  return (node) => {
    const alone = !graph.nodes[node]!.operands?.length;
    const known = (names.has(node) || alone) && !transparent(graph, node);
    return known || own.has(node) ? shown(values[node]!, 6, entries) : null;
  };
}
