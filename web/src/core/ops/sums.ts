/** Sums of runs of numbers, and arrays as runs along some of their axes. */
import { type Value, size } from "../../arrays";
import { type Numbers } from "../call";
import { inverse, permuted } from "../strided";

/** An array with some of its axes last, so that what is taken together lies together. */
export interface Runs {
  moved: Value;
  /** The number of runs, and of elements in each. */
  count: number;
  length: number;
  /** Each axis of `moved` as one of the array. */
  order: number[];
}

export function runs(x: Value, axes: readonly number[]): Runs {
  const kept = x.shape.map((_, a) => a).filter((a) => !axes.includes(a));
  const order = [...kept, ...axes];
  const [count, length] = [kept, axes].map((part) => size(part.map((a) => x.shape[a]!)));
  return { moved: permuted(x, order), count: count!, length: length!, order };
}

/** An array of the shape of `moved`, with its axes where they were. */
export function restored(moved: Value, order: readonly number[]): Value {
  return permuted(moved, inverse(order));
}

/** The sum of a run in double, pairwise as NumPy's: its error grows with the logarithm of the length. */
export function sumOf(x: Numbers, start: number, length: number): number {
  if (length < 8) {
    let sum = 0;
    for (let i = start; i < start + length; i++) sum += x[i]!;
    return sum;
  }
  if (length <= 128) return sumOfEights(x, start, length);
  const half = Math.floor(length / 2) & ~7;
  return sumOf(x, start, half) + sumOf(x, start + half, length - half);
}

function sumOfEights(x: Numbers, start: number, length: number): number {
  let [a, b, c, d] = [x[start]!, x[start + 1]!, x[start + 2]!, x[start + 3]!];
  let [e, f, g, h] = [x[start + 4]!, x[start + 5]!, x[start + 6]!, x[start + 7]!];
  const end = start + length;
  let i = start + 8;
  for (; i + 8 <= end; i += 8) {
    a += x[i]!;
    b += x[i + 1]!;
    c += x[i + 2]!;
    d += x[i + 3]!;
    e += x[i + 4]!;
    f += x[i + 5]!;
    g += x[i + 6]!;
    h += x[i + 7]!;
  }
  let sum = a + b + (c + d) + (e + f + (g + h));
  for (; i < end; i++) sum += x[i]!;
  return sum;
}
