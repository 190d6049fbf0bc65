/** Arrays put together, compared, and changed entry by entry. */
import { type Value, zeros } from "../arrays";
import type { DType } from "../document";
import { isValue, type Result } from "./evaluate";

/** The arrays of rows, stacked along a new first axis. */
export function joined(rows: readonly Value[]): Value {
  const first = rows[0]!;
  const result = zeros(first.dtype, [rows.length, ...first.shape]);
  rows.forEach((row, k) => result.data.set(row.data as never, k * row.data.length));
  return result;
}

/** A number as an entry of a dtype has it. */
export function rounded(x: number, dtype: DType): number {
  return Number(withEntry(zeros(dtype, [1]), 0, x).data[0]);
}

/** A copy with one entry changed, rounded to the dtype. */
export function withEntry(value: Value, entry: number, to: number): Value {
  const data = value.data.slice() as Value["data"];
  if (data instanceof BigInt64Array || data instanceof BigUint64Array)
    data[entry] = BigInt(Number.isFinite(to) ? Math.trunc(to) : 0);
  else data[entry] = value.dtype === "bool" ? Number(to !== 0) : to;
  return { ...value, data };
}

/** Whether two results are equal entry by entry, NaN being equal to itself. */
export function same(a: Result, b: Result): boolean {
  if (a === b) return true;
  if (!isValue(a) || !isValue(b)) return !isValue(a) && !isValue(b);
  if (a.data.length !== b.data.length) return false;
  for (let k = 0; k < a.data.length; k++) if (!Object.is(a.data[k], b.data[k])) return false;
  return true;
}
