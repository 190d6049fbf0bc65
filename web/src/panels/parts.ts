/** The parts of all steps: by direction its layers, and the time steps of recurrent ones. */
import type { Step } from "../core/steps";
import type { GraphForm } from "../document";
import { timesOf } from "../graph/scene";
import type { Direction } from "../session.svelte";

/** Steps of one layer, or of one of its time steps. */
export interface Part {
  direction: Direction;
  name: string;
  /** The index of its first step, and the number of its steps. */
  first: number;
  count: number;
}

/** The parts in order of their first steps, and the place of each step's part among them. */
export function partsOf(graph: GraphForm, steps: readonly Step[]): { parts: Part[]; of: number[] } {
  const names = new Map<number, string>();
  for (const layer of graph.layers) {
    for (const node of layer.nodes) names.set(node, layer.name);
    for (const [time, nodes] of timesOf(graph, layer))
      for (const node of nodes) names.set(node, `${layer.name}, time step ${time}`);
  }
  const parts: Part[] = [];
  const known = new Map<string, number>();
  const of = steps.map(({ direction, node }, k) => {
    const name = names.get(node) ?? "between";
    const key = `${direction} ${name}`;
    const place = known.get(key) ?? parts.length;
    if (place === parts.length) {
      known.set(key, place);
      parts.push({ direction, name, first: k, count: 0 });
    }
    parts[place]!.count++;
    return place;
  });
  return { parts, of };
}
