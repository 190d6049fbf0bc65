/** Arrays of the document as typed arrays. */
import type { ArrayForm, DType } from "./document";

/** A typed array of a dtype. Booleans are bytes 0 and 1; 64-bit integers are BigInt. */
export type Data =
  | Float32Array | Float64Array | Int8Array | Int16Array | Int32Array | BigInt64Array
  | Uint8Array | Uint16Array | Uint32Array | BigUint64Array;

/** An array: C order. */
export interface Value {
  dtype: DType;
  shape: readonly number[];
  data: Data;
}

const MAKERS = {
  float32: Float32Array, float64: Float64Array, bool: Uint8Array,
  int8: Int8Array, int16: Int16Array, int32: Int32Array, int64: BigInt64Array,
  uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, uint64: BigUint64Array,
} as const;

/** An array of zeros. */
export function zeros(dtype: DType, shape: readonly number[]): Value {
  return { dtype, shape, data: new MAKERS[dtype](size(shape)) };
}

/** The number of entries. */
export function size(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

/** The array of its form in the document. */
export function decode(form: ArrayForm): Value {
  const text = atob(form.data);
  const bytes = new Uint8Array(text.length);
  for (let k = 0; k < bytes.length; k++) bytes[k] = text.charCodeAt(k);
  return { dtype: form.dtype, shape: form.shape, data: new MAKERS[form.dtype](bytes.buffer) };
}
