/** The texts of a box, and its size: it does not change with the numbers. */
import { expression, transparent } from "../core/formula";
import type { GraphForm } from "../document";
import type { Size } from "./layout";
import type { Item, Scene } from "./scene";
import { cut, lines, room, width } from "./text";
import { TONE_WIDTH } from "./tone";

/** Sizes of the drawing, in pixels at scale 1. */
export const TEXT = { name: 7.9, small: 6.75, line: 15, pad: 11, head: 19 };

/** What stands in a box beside its numbers. */
export interface Face {
  name: string;
  what: string;
  /** The number of lines kept for the value, and for the gradient or new value below it. */
  values: number;
  below: number;
  size: Size;
}

/** Returns the faces of all items, for a number of rows; toned ones have a line for their tone. */
export function faces(graph: GraphForm, scene: Scene, rows: number, toned = false): Map<string, Face> {
  const graded = new Set(graph.gradients.map((g) => g.node));
  return new Map(scene.items.map((item) => [item.id, face(graph, item, rows, graded, toned)]));
}

function face(graph: GraphForm, item: Item, rows: number, graded: ReadonlySet<number>, toned: boolean): Face {
  if (item.kind === "small") return small(graph, item, rows);
  const folded = item.kind === "layer" || item.kind === "block";
  const name = cut(item.name, 26);
  const what = cut(folded ? item.what : said(graph, item), 30);
  const shape = shapeOf(graph, item.node, rows);
  const bare = rows === 0 && !Object.keys(graph.values).length; // the structure alone
  const values = toned ? 1 : folded || bare ? 0 : lines(shape);
  const below = graded.has(item.node) ? values : 0;
  const extra = folded ? `${item.nodes.length} nodes` : "";
  const texts = [
    width(name) * TEXT.name + (folded ? 22 : 0), width(what) * TEXT.small, width(extra) * TEXT.small,
    (toned ? TONE_WIDTH : values ? room(shape) + (below ? 4 : 0) : 0) * TEXT.small,
  ];
  const count = 1 + values + below + (folded ? 1 : 0);
  const w = Math.max(84, Math.ceil(Math.max(...texts)) + 2 * TEXT.pad + (item.kind === "input" ? 12 : 0));
  return { name, what, values, below, size: { w, h: TEXT.head + count * TEXT.line + TEXT.pad } };
}

function small(graph: GraphForm, item: Item, rows: number): Face {
  const form = graph.nodes[item.node]!;
  const scalar = form.op === "constant" && lines(shapeOf(graph, item.node, rows)) === 1;
  const what = scalar ? "" : cut(form.op ?? form.name, 18);
  const w = Math.max(28, (what ? width(what) : room(shapeOf(graph, item.node, rows))) * TEXT.small * 0.95 + 14);
  return { name: what, what, values: scalar ? 1 : 0, below: 0, size: { w: Math.ceil(w), h: 22 } };
}

/** The kind of an input or parameter; the formula of a node where it is short, else its op. */
function said(graph: GraphForm, item: Item): string {
  const form = graph.nodes[item.node]!;
  if (form.op === undefined) return form.kind === "parameter" && form.trainable === false ? "parameter, fixed" : form.kind;
  const leaf = (node: number) => (transparent(graph, node) ? null : cut(graph.nodes[node]!.name, 24));
  const formula = expression(graph, item.node, leaf).replace(/, axis=(\d+|\([\d, ]*\))/g, "");
  return width(formula) > 30 ? form.op : formula;
}

/** The shape of a node's value for a number of rows. */
export function shapeOf(graph: GraphForm, node: number, rows: number): number[] {
  return graph.nodes[node]!.shape.map((d) => (d === "N" ? rows : d));
}
