/** Elements selected by indices that are data, and the sums that are their adjoints. */
import { type Data, type Value, size, zeros } from "../../arrays";
import { type Call, isBig, type Kernel, operand, result, Uncomputable } from "../call";
import { strides } from "../strided";

/** The indices of an operand, all of them from 0 below `end`. */
export function checked(indices: Value, end: number): Int32Array {
  const out = new Int32Array(indices.data.length);
  for (let i = 0; i < out.length; i++) {
    const index = Number(indices.data[i]);
    if (index < 0 || index >= end) throw outOfRange(index, end, i, indices.shape);
    out[i] = index;
  }
  return out;
}

function outOfRange(index: number, end: number, at: number, shape: readonly number[]): Uncomputable {
  const range = end ? `0 to ${end - 1} are there` : "there are no elements";
  const row = shape.length ? `, row ${Math.floor(at / (shape.slice(1).reduce((n, d) => n * d, 1) || 1))}` : "";
  return new Uncomputable(`the index ${index} is out of range: ${range}${row}`);
}

/** Sums into an array of zeros: float32 is accumulated in double. */
export class Adder {
  private readonly sums: Data;

  constructor(private readonly out: Value) {
    this.sums = out.dtype === "float32" ? new Float64Array(out.data.length) : out.data;
  }

  /** Adds elements of `x` from `from` on to those of the sums from `to` on. */
  add(x: Data, from: number, to: number, count: number): void {
    if (isBig(x)) {
      const sums = this.sums as BigInt64Array;
      for (let i = 0; i < count; i++) sums[to + i]! += x[from + i]!;
    } else {
      const sums = this.sums as Float64Array;
      for (let i = 0; i < count; i++) sums[to + i]! += x[from + i]!;
    }
  }

  total(): Value {
    if (this.sums !== this.out.data) (this.out.data as Float32Array).set(this.sums as Float64Array);
    return this.out;
  }
}

export function copyRun(x: Data, from: number, to: number, count: number, out: Data): void {
  (out as Float64Array).set((x as Float64Array).subarray(from, from + count), to);
}

// ---------------------------------------------------------------- take, scatter_add

/** Calls `visit` with the places of each slice in the table and in the selection. */
function slices(
  table: readonly number[], indices: Value, axis: number,
  visit: (inTable: number, inSelection: number, width: number) => void,
): void {
  const [lead, end, width] = [size(table.slice(0, axis)), table[axis]!, size(table.slice(axis + 1))];
  const places = checked(indices, end);
  for (let outer = 0; outer < lead; outer++) {
    places.forEach((index, k) => {
      visit((outer * end + index) * width, (outer * places.length + k) * width, width);
    });
  }
}

function take(call: Call): Value {
  const [table, out] = [operand(call, 0), result(call)];
  slices(table.shape, operand(call, 1), Number(call.attributes["axis"]), (from, to, width) => {
    copyRun(table.data, from, to, width, out.data);
  });
  return out;
}

function scatterAdd(call: Call): Value {
  const [x, adder] = [operand(call, 0), new Adder(result(call))];
  slices(call.shape, operand(call, 1), Number(call.attributes["axis"]), (to, from, width) => {
    adder.add(x.data, from, to, width);
  });
  return adder.total();
}

// ---------------------------------------------------------------- gather, scatter_add_along

/** Calls `visit` with the place of each element in the array and among the indices. */
function elements(
  array: readonly number[], indices: Value, axis: number,
  visit: (inArray: number, inIndices: number) => void,
): void {
  const places = checked(indices, array[axis]!);
  const own = strides(array);
  const of = strides(indices.shape);
  places.forEach((index, k) => {
    let at = index * own[axis]!;
    let rest = k;
    for (let a = 0; a < own.length; a++) {
      const along = Math.floor(rest / of[a]!);
      rest -= along * of[a]!;
      if (a !== axis) at += along * own[a]!;
    }
    visit(at, k);
  });
}

function gather(call: Call): Value {
  const [x, out] = [operand(call, 0), result(call)];
  elements(x.shape, operand(call, 1), Number(call.attributes["axis"]), (from, to) => {
    out.data[to] = x.data[from]!;
  });
  return out;
}

function scatterAddAlong(call: Call): Value {
  const [x, adder] = [operand(call, 0), new Adder(result(call))];
  elements(call.shape, operand(call, 1), Number(call.attributes["axis"]), (to, from) => {
    adder.add(x.data, from, to, 1);
  });
  return adder.total();
}

// ---------------------------------------------------------------- one_hot

function oneHot(call: Call): Value {
  const depth = Number(call.attributes["depth"]);
  const out = zeros(call.dtype, call.shape);
  checked(operand(call, 0), depth).forEach((index, k) => {
    out.data[k * depth + index] = isBig(out.data) ? 1n : 1;
  });
  return out;
}

export const INDEXING: Record<string, Kernel> = {
  take,
  scatter_add: scatterAdd,
  gather,
  scatter_add_along: scatterAddAlong,
  one_hot: oneHot,
};
