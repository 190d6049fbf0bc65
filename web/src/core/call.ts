/** What an op's kernel is called with: the values of its operands, and the type of its result. */
import { type Data, type Value, size, zeros } from "../arrays";
import type { DType } from "../document";

/** An attribute of a node with its arrays decoded and `N` replaced by the number of rows. */
export type Setting = null | boolean | number | bigint | string | Setting[] | Value;

export interface Call {
  operands: readonly Value[];
  attributes: Readonly<Record<string, Setting>>;
  /** The shape of the result. */
  shape: readonly number[];
  dtype: DType;
  /** For random ops: the number of the stream. */
  stream: number;
  training: boolean;
}

/** Computes an op. It never writes to its operands; the result may share their memory. */
export type Kernel = (call: Call) => Value;

/** Why a node has no value, as a sentence. */
export class Uncomputable extends Error {}

export type Big = BigInt64Array | BigUint64Array;
export type Numbers = Exclude<Data, Big>;
export type Floats = Float32Array | Float64Array;

export function isBig(data: Data): data is Big {
  return data instanceof BigInt64Array || data instanceof BigUint64Array;
}

export function isFloat(dtype: DType): boolean {
  return dtype === "float32" || dtype === "float64";
}

/** The k-th operand. */
export function operand(call: Call, k: number): Value {
  const value = call.operands[k];
  if (!value) throw new Error(`operand ${k} is missing`);
  return value;
}

/** The data of the k-th operand, of any type with numbers. */
export function numbers(call: Call, k: number): Numbers {
  const { data } = operand(call, k);
  if (isBig(data)) throw new Error(`operand ${k} is of 64-bit integers`);
  return data;
}

/** The result's array, all zeros. */
export function result(call: Call): Value {
  return zeros(call.dtype, call.shape);
}

/** The data of an array that holds no 64-bit integers. */
export function plain(value: Value): Numbers {
  if (isBig(value.data)) throw new Error("64-bit integers where numbers are needed");
  return value.data;
}

/** An operand with the result's shape: the same elements in the same order. */
export function reshaped(x: Value, shape: readonly number[]): Value {
  if (size(shape) !== x.data.length) throw new Error("the number of elements differs");
  return { dtype: x.dtype, shape, data: x.data };
}

/** An attribute that is a list of integers. */
export function integers(setting: Setting | undefined): number[] {
  return (Array.isArray(setting) ? setting : [setting]).map(Number);
}
