/** Each unit's value over the plane of the two columns that a network reads. */
import { size } from "../arrays";
import { evaluate, givenOf, isValue } from "../core/evaluate";
import type { GraphForm } from "../document";
import type { Learning } from "../sections";
import type { Session } from "../session.svelte";

/** Points along each side. */
export const SIDE = 16;

const forwards = new WeakMap<GraphForm, GraphForm>();

/** The graph without its backward pass and update. */
function forwardOf(graph: GraphForm): GraphForm {
  const known = forwards.get(graph);
  if (known) return known;
  const end = graph.nodes.findLastIndex((x) => x.part === "forward");
  const made = { ...graph, nodes: graph.nodes.slice(0, end + 1) };
  forwards.set(graph, made);
  return made;
}

/** By layer, the values of its units at the points of a square, row by row from the lowest y:
 * (points, units); none where the network reads more than two numbers.
 *
 * @param weights the parameters by name.
 */
export function overPlane(session: Session, learning: Learning): Map<string, { units: number; data: ArrayLike<number> }> {
  const found = new Map<string, { units: number; data: ArrayLike<number> }>();
  const { regions } = learning;
  const { document } = session;
  const input = document.encoders[0]?.parts[0]?.input;
  const node = input === undefined ? undefined : session.find(input);
  if (!regions || node === undefined || document.graph.nodes[node]!.shape.join() !== "N,2") return found;
  const points = SIDE * SIDE;
  const data = new Float64Array(2 * points);
  for (let k = 0; k < points; k++) {
    data[2 * k] = regions.x.low + ((regions.x.high - regions.x.low) * (k % SIDE)) / (SIDE - 1);
    data[2 * k + 1] = regions.y.low + ((regions.y.high - regions.y.low) * Math.floor(k / SIDE)) / (SIDE - 1);
  }
  const given = new Map(session.changes.size ? [...session.given, ...session.changes] : session.given);
  for (const [k, value] of givenOf(document, new Array<number>(points).fill(0))) if (document.graph.nodes[k]!.shape[0] === "N") given.set(k, value);
  given.set(node, { dtype: document.graph.nodes[node]!.dtype, shape: [points, 2], data });
  const results = evaluate(forwardOf(document.graph), given, points);
  for (const layer of learning.layers) {
    const at = session.find(layer.name);
    const value = at === undefined ? undefined : results[at];
    if (isValue(value) && value.shape.length === 2 && size(value.shape) === points * value.shape[1]!)
      found.set(layer.name, { units: value.shape[1]!, data: value.data as ArrayLike<number> });
  }
  return found;
}
