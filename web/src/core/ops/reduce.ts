/** Reductions along axes: sums, means, extremes and their places, running sums, spread, softmax.
 *
 * float32 is accumulated in double and rounded once, as in Python; doubles are summed pairwise.
 */
import { type Value, zeros } from "../../arrays";
import {
  type Call, type Big, integers, isBig, type Kernel, type Numbers, operand, plain, result,
  Uncomputable,
} from "../call";
import { restored, type Runs, runs, sumOf } from "./sums";

function axes(call: Call): number[] {
  return integers(call.attributes["axis"]);
}

/** A reduction by a function of a run: its data, where it starts, and its length. */
function reduction(
  f: (x: Numbers, start: number, length: number, call: Call) => number,
  big?: (x: Big, start: number, length: number) => bigint,
): Kernel {
  return (call) => reduced(call, runs(operand(call, 0), axes(call)), f, big);
}

function reduced(
  call: Call, { moved, count, length }: Runs,
  f: (x: Numbers, start: number, length: number, call: Call) => number,
  big?: (x: Big, start: number, length: number) => bigint,
): Value {
  const out = result(call);
  for (let k = 0; k < count; k++) {
    if (isBig(moved.data)) out.data[k] = big!(moved.data, k * length, length);
    else out.data[k] = f(moved.data, k * length, length, call);
  }
  return out;
}

/** A reduction that has no value without elements. */
function ofSome(name: string, kernel: Kernel): Kernel {
  return (call) => {
    const { shape } = operand(call, 0);
    if (axes(call).some((a) => shape[a] === 0)) {
      throw new Uncomputable(`the ${name} of no elements is not defined: there are no rows`);
    }
    return kernel(call);
  };
}

// ---------------------------------------------------------------- sums and products

function bigSum(x: Big, start: number, length: number): bigint {
  let sum = 0n;
  for (let i = start; i < start + length; i++) sum += x[i]!;
  return sum;
}

function sumKernel(call: Call, by: number[]): Value {
  const whole = call.dtype === "float32" || call.dtype === "float64" ? sumOf : wrappedSum;
  return reduced(call, runs(operand(call, 0), by), whole, bigSum);
}

function wrappedSum(x: Numbers, start: number, length: number): number {
  let sum = 0;
  for (let i = start; i < start + length; i++) sum = (sum + x[i]!) | 0;
  return sum;
}

/** Sums over the axes that broadcasting from the result's shape added or repeated. */
function sumTo(call: Call): Value {
  const wide = operand(call, 0).shape;
  const lead = wide.length - call.shape.length;
  const repeated = wide.map((_, a) => a).filter(
    (a) => a < lead || (call.shape[a - lead] === 1 && wide[a] !== 1),
  );
  return sumKernel(call, repeated);
}

function prodOf(x: Numbers, start: number, length: number, call: Call): number {
  const whole = call.dtype === "int32" || call.dtype === "uint32";
  let product = 1;
  for (let i = start; i < start + length; i++) {
    product = whole ? Math.imul(product, x[i]!) : product * x[i]!;
  }
  return product;
}

function bigProd(x: Big, start: number, length: number): bigint {
  let product = 1n;
  for (let i = start; i < start + length; i++) product = BigInt.asIntN(64, product * x[i]!);
  return product;
}

function cumsum(call: Call): Value {
  const { moved, count, length, order } = runs(operand(call, 0), axes(call));
  const out = zeros(call.dtype, moved.shape);
  const back = call.attributes["reverse"] === true;
  for (let k = 0; k < count; k++) {
    const first = k * length + (back ? length - 1 : 0);
    const step = back ? -1 : 1;
    if (isBig(moved.data)) {
      let sum = 0n;
      for (let i = 0; i < length; i++) out.data[first + i * step] = sum += moved.data[first + i * step]!;
    } else {
      let sum = 0;
      for (let i = 0; i < length; i++) out.data[first + i * step] = sum += moved.data[first + i * step]!;
    }
  }
  return restored(out, order);
}

// ---------------------------------------------------------------- extremes

function extremeOf(larger: boolean): (x: Numbers, start: number, length: number) => number {
  return (x, start, length) => Number(x[place(x, start, length, larger)]);
}

function bigExtreme(larger: boolean): (x: Big, start: number, length: number) => bigint {
  return (x, start, length) => x[place(x, start, length, larger)]!;
}

/** Where the first of the largest, or smallest, stands; the first NaN, if there is one. */
function place(x: Numbers | Big, start: number, length: number, larger: boolean): number {
  let best = start;
  for (let i = start; i < start + length; i++) {
    const [one, top] = [x[i]!, x[best]!];
    if (one !== one) return i;
    if (larger ? one > top : one < top) best = i;
  }
  return best;
}

function placeOf(larger: boolean): Kernel {
  return (call) => {
    const { moved, count, length } = runs(operand(call, 0), axes(call));
    const out = result(call);
    for (let k = 0; k < count; k++) out.data[k] = place(moved.data, k * length, length, larger) - k * length;
    return out;
  };
}

/** The largest of a run, NaN if one is; `least` if there are none. */
function top(x: Numbers, start: number, length: number, least: number): number {
  let most = least;
  for (let i = start; i < start + length; i++) {
    if (x[i]! !== x[i]!) return NaN;
    if (x[i]! > most) most = x[i]!;
  }
  return most;
}

// ---------------------------------------------------------------- mean, spread, length

function meanOf(x: Numbers, start: number, length: number): number {
  return sumOf(x, start, length) / length;
}

function varOf(x: Numbers, start: number, length: number, call: Call): number {
  const mean = meanOf(x, start, length);
  const squares = new Float64Array(length);
  for (let i = 0; i < length; i++) squares[i] = (x[start + i]! - mean) ** 2;
  const left = length - Number(call.attributes["ddof"]);
  return sumOf(squares, 0, length) / (left > 0 ? left : NaN);
}

function normOf(x: Numbers, start: number, length: number): number {
  const sizes = new Float64Array(length);
  for (let i = 0; i < length; i++) sizes[i] = Math.abs(x[start + i]!);
  const most = top(sizes, 0, length, 0);
  const scale = most > 0 && most < Infinity ? most : 1;
  for (let i = 0; i < length; i++) sizes[i] = (sizes[i]! / scale) ** 2;
  return Math.sqrt(sumOf(sizes, 0, length)) * scale;
}

// ---------------------------------------------------------------- softmax

function logsumexpOf(x: Numbers, start: number, length: number): number {
  const most = top(x, start, length, -Infinity);
  const shift = Math.abs(most) === Infinity ? 0 : most;
  const parts = new Float64Array(length);
  for (let i = 0; i < length; i++) parts[i] = Math.exp(x[start + i]! - shift);
  return Math.log(sumOf(parts, 0, length)) + shift;
}

function softmax(log: boolean): Kernel {
  return (call) => {
    const { moved, count, length, order } = runs(operand(call, 0), axes(call));
    const x = plain(moved);
    const out = zeros(call.dtype, moved.shape);
    const parts = new Float64Array(length);
    for (let k = 0; k < count; k++) {
      const start = k * length;
      const most = top(x, start, length, -Infinity);
      const shift = most === -Infinity ? 0 : most;
      for (let i = 0; i < length; i++) parts[i] = Math.exp(x[start + i]! - shift);
      const sum = sumOf(parts, 0, length);
      const total = sum === 0 ? 1 : sum;
      const minus = Math.log(total);
      for (let i = 0; i < length; i++) {
        out.data[start + i] = log ? x[start + i]! - shift - minus : parts[i]! / total;
      }
    }
    return restored(out, order);
  };
}

// ---------------------------------------------------------------- the table

export const REDUCTIONS: Record<string, Kernel> = {
  sum: (call) => sumKernel(call, axes(call)),
  sum_to: sumTo,
  mean: ofSome("mean", reduction(meanOf)),
  max: ofSome("maximum", reduction(extremeOf(true), bigExtreme(true))),
  min: ofSome("minimum", reduction(extremeOf(false), bigExtreme(false))),
  argmax: ofSome("argmax", placeOf(true)),
  argmin: ofSome("argmin", placeOf(false)),
  prod: reduction(prodOf, bigProd),
  cumsum,
  var: ofSome("variance", reduction(varOf)),
  std: ofSome("standard deviation", reduction((...run) => Math.sqrt(varOf(...run)))),
  norm: reduction(normOf),
  logsumexp: reduction(logsumexpOf),
  softmax: softmax(false),
  log_softmax: softmax(true),
};
