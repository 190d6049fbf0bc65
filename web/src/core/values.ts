/** Arrays put together and changed: what editing needs. */
import { zeros, type Value } from "../arrays";

/** The arrays of rows, stacked along a new first axis. */
export function joined(rows: readonly Value[]): Value {
  const first = rows[0]!;
  const result = zeros(first.dtype, [rows.length, ...first.shape]);
  rows.forEach((row, k) => result.data.set(row.data as never, k * row.data.length));
  return result;
}

/** A copy with one entry changed, rounded to the dtype as NumPy casts. */
export function withEntry(value: Value, entry: number, to: number): Value {
  const data = value.data.slice() as Value["data"];
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) data[entry] = BigInt(Math.trunc(to));
  else data[entry] = value.dtype === "bool" ? Number(to !== 0) : to;
  return { ...value, data };
}
