/** The filters of a convolution as pictures: the weights of each unit, channel by channel. */
import { decode, size, type Value } from "../arrays";
import type { LayerRecord, Learning } from "../sections";
import type { Session } from "../session.svelte";

/** A small picture: rows of numbers. */
export type Kernel = number[][];

export interface Filters {
  /** The size of the largest weight of all. */
  most: number;
  units: number;
  channels: number;
  /** The weights of a unit for one channel; a filter along one axis is one row. */
  kernel: (unit: number, channel: number) => Kernel;
  /** The weights of a unit, averaged over its channels. */
  mean: (unit: number) => Kernel;
}

/** The weights of a layer at a record, or those of the model where records have none. */
export function weightsOf(
  layer: LayerRecord, learning: Learning, at: number, session: Session | null,
): Value | null {
  const name = `${layer.name}.w`;
  const form = learning.values[at]?.[name] ?? session?.document.graph.values[name];
  return form ? decode(form) : null;
}

/** The filters of a layer; null where it is no convolution along one axis or two, or is pointwise. */
export function filtersOf(layer: LayerRecord, weights: Value | null): Filters | null {
  if (!weights || !/^(depthwise_)?conv(_transpose)? /.test(layer.what)) return null;
  const { shape, data } = weights;
  if (shape.length < 3 || shape.length > 4 || size(shape.slice(0, -2)) === 1) return null;
  const [rows, columns] = shape.length === 3 ? [1, shape[0]!] : [shape[0]!, shape[1]!];
  const [channels, units] = shape.slice(-2) as [number, number];
  let most = 0;
  data.forEach((x: number | bigint) => { if (Number.isFinite(Number(x))) most = Math.max(most, Math.abs(Number(x))); });
  const made = (of: (place: number) => number): Kernel => Array.from({ length: rows }, (_, i) =>
    Array.from({ length: columns }, (_, j) => of(i * columns + j)));
  const kernel = (unit: number, channel: number): Kernel =>
    made((place) => Number(data[(place * channels + channel) * units + unit]));
  const mean = (unit: number): Kernel => made((place) => {
    let sum = 0;
    for (let c = 0; c < channels; c++) sum += Number(data[(place * channels + c) * units + unit]);
    return sum / channels;
  });
  return { most: most || 1, units, channels, kernel, mean };
}
