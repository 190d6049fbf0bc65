/** Copies between arrays and their views: other orders of axes, repetition, parts. */
import { type Data, type Value, size, zeros } from "../arrays";
import { isBig } from "./call";

/** How far apart the elements along each axis are, in C order. */
export function strides(shape: readonly number[]): number[] {
  const out = new Array<number>(shape.length);
  let step = 1;
  for (let a = shape.length - 1; a >= 0; a--) {
    out[a] = step;
    step *= shape[a]!;
  }
  return out;
}

/** The array of a view: element i, j, ... is that of `x` at `start + i steps[0] + ...`. */
export function gathered(
  x: Value, shape: readonly number[], steps: readonly number[], start = 0,
): Value {
  const out = zeros(x.dtype, shape);
  copy(shape, x.data, steps, start, out.data, strides(shape), 0);
  return out;
}

/** Writes `x` into a view of `target`: the reverse of `gathered`. */
export function placed(
  target: Value, x: Value, steps: readonly number[], start: number,
): void {
  copy(x.shape, x.data, strides(x.shape), 0, target.data, steps, start);
}

/** `x` with its axes in another order. */
export function permuted(x: Value, order: readonly number[]): Value {
  if (order.every((axis, a) => axis === a)) return x;
  const own = strides(x.shape);
  return gathered(x, order.map((a) => x.shape[a]!), order.map((a) => own[a]!));
}

/** The order that undoes another. */
export function inverse(order: readonly number[]): number[] {
  return order.map((_, a) => order.indexOf(a));
}

/** `x` repeated along new axes in front and axes of size 1. */
export function broadcast(x: Value, shape: readonly number[]): Value {
  const lead = shape.length - x.shape.length;
  const own = strides(x.shape);
  if (x.data.length === 1 && !isBig(x.data)) {
    const out = zeros(x.dtype, shape);
    (out.data as Float64Array).fill(x.data[0]!);
    return out;
  }
  return gathered(x, shape, shape.map((_, a) => (x.shape[a - lead] ?? 1) === 1 ? 0 : own[a - lead]!));
}

/** Copies a view of one array into a view of another, of one shape, by their bytes. */
function copy(
  shape: readonly number[], source: Data, from: readonly number[], start: number,
  target: Data, to: readonly number[], first: number,
): void {
  if (size(shape) === 0) return;
  const last = shape.length - 1;
  const [count, by, next] = last < 0 ? [1, 0, 0] : [shape[last]!, from[last]!, to[last]!];
  const line = isBig(source) ? bigLine : numberLine;
  const [read, write] = [raw(source), raw(target)];
  const at = new Array<number>(Math.max(last, 0)).fill(0);
  for (;;) {
    line(read, start, by, write, first, next, count);
    let a = last - 1;
    for (; a >= 0; a--) {
      start += from[a]!;
      first += to[a]!;
      if (++at[a]! < shape[a]!) break;
      start -= from[a]! * shape[a]!;
      first -= to[a]! * shape[a]!;
      at[a] = 0;
    }
    if (a < 0) return;
  }
}

function numberLine(
  source: Data, from: number, by: number, target: Data, to: number, next: number, count: number,
): void {
  const [read, write] = [source as Float64Array, target as Float64Array];
  for (let k = 0; k < count; k++) write[to + k * next] = read[from + k * by]!;
}

function bigLine(
  source: Data, from: number, by: number, target: Data, to: number, next: number, count: number,
): void {
  const [read, write] = [source as BigInt64Array, target as BigInt64Array];
  for (let k = 0; k < count; k++) write[to + k * next] = read[from + k * by]!;
}

/** Numbers of 32 bits as integers, so that the copying loop meets few types. */
function raw(data: Data): Data {
  if (data instanceof Float32Array || data instanceof Int32Array) {
    return new Uint32Array(data.buffer, data.byteOffset, data.length);
  }
  return data;
}
