/** The four measures of a layer over time, and the scales that layers and runs share. */
import type { LayerRecord, Learning, Quantiles } from "../sections";
import { around, range, scale, type Scale } from "./scale";

export interface Measure {
  name: "values" | "gradients" | "weights" | "updates";
  title: string;
  told: string;
  /** The token of its colour. */
  colour: string;
  log: boolean;
}

export const MEASURES: readonly Measure[] = [
  { name: "values", title: "Values", told: "the layer's output on the sample", colour: "value", log: false },
  { name: "gradients", title: "Size of gradients", told: "|∂loss/∂output| on the sample, logarithmic", colour: "gradient", log: true },
  { name: "weights", title: "Weights", told: "the entries of its matrices or filters", colour: "parameter", log: false },
  { name: "updates", title: "Update per step", told: "|update| / |weights|, logarithmic; about 10⁻³ is usual", colour: "update", log: true },
];

/** A measure of a layer as quantiles; updates have one number each. */
export function quantiles(layer: LayerRecord, measure: Measure): Quantiles {
  return measure.name === "updates" ? layer.updates.map((x) => [x]) : layer[measure.name];
}

/** The same of one of the layer's arrays; null of what only the layer has. */
export function ofGroup(group: LayerRecord["groups"][number], measure: Measure): Quantiles | null {
  if (measure.name === "weights") return group.weights;
  return measure.name === "updates" ? group.updates.map((x) => [x]) : null;
}

/** One scale by measure, for all layers of a run; logarithmic ones are those of all runs. */
export function scales(own: Learning | null, runs: readonly (Learning | null)[] = [own]): Map<string, Scale> {
  return new Map(MEASURES.map((measure) => {
    const ranges = (measure.log ? runs : [own]).flatMap((run) => run?.layers ?? []).map((layer) =>
      range([quantiles(layer, measure), ...layer.groups.map((g) => ofGroup(g, measure) ?? [])].flat()
        .flatMap((q) => (measure.log && q.length > 1 ? q.slice(1) : q)), measure.log),
    );
    return [measure.name, scale(around(ranges), measure.log)];
  }));
}
