/** Numbers as text, short enough for a cell. */
import type { Value } from "../arrays";

/** A number with some significant digits, without trailing zeros: 0.9002, 1.2e-7, NaN. */
export function short(x: number, digits = 4): string {
  if (!Number.isFinite(x)) return Number.isNaN(x) ? "NaN" : x > 0 ? "inf" : "-inf";
  if (x === 0) return "0"; // -0 as well
  if (Number.isInteger(x) && Math.abs(x) < 1e6) return String(x);
  const size = Math.floor(Math.log10(Math.abs(x)));
  const text = size < -4 || size >= Math.max(digits, 6) ? x.toExponential(digits - 1) : x.toPrecision(digits);
  const [mantissa, exponent] = text.split("e");
  const plain = mantissa!.includes(".") ? mantissa!.replace(/\.?0+$/, "") : mantissa!;
  return exponent ? `${plain}e${Number(exponent)}` : plain;
}

/** An entry of an array as text; booleans as words, integers in full. */
export function entryText(value: Value, entry: number, digits = 4): string {
  const x = value.data[entry];
  if (value.dtype === "bool") return x ? "True" : "False";
  return typeof x === "bigint" ? x.toString() : short(Number(x), digits);
}

/** A change as text, with its sign. */
export function signed(x: number): string {
  return x > 0 ? `+${short(x, 3)}` : short(x, 3);
}

/** A step for keys and drags, about a tenth of a number's size: 0.1 for 3.7, 1 for 39.1. */
export function stepOf(x: number, integer: boolean): number {
  if (integer) return 1;
  const size = Math.abs(x) < 1e-3 || !Number.isFinite(x) ? 1 : Math.abs(x);
  return 10 ** (Math.floor(Math.log10(size)) - 1);
}

/** A number in the fewest digits that give it again, those of a 32-bit float for one. */
export function plain(x: number, float32: boolean): string {
  if (!Number.isFinite(x)) return short(x);
  if (!float32) return String(x);
  for (let digits = 6; digits < 9; digits++) {
    const near = Number(x.toPrecision(digits));
    if (Math.fround(near) === x) return String(near);
  }
  return String(Number(x.toPrecision(9)));
}

/** A number without the noise of repeated steps: 0.30000000000000004 as 0.3. */
export function tidy(x: number): number {
  return Number(x.toPrecision(12));
}

/** The number that a text gives, in Python's spelling as well; null where it gives none. */
export function parsed(text: string): number | null {
  const plain = text.trim().replace("−", "-").replace(/^([-+]?\d*),(\d+)$/, "$1.$2");
  const word = /^([-+]?)(inf|infinity|nan)$/i.exec(plain);
  if (word) return word[2]!.toLowerCase() === "nan" ? NaN : word[1] === "-" ? -Infinity : Infinity;
  return plain !== "" && Number.isFinite(Number(plain)) ? Number(plain) : null;
}

/** The index of a flat entry in a shape. */
export function unravel(entry: number, shape: readonly number[]): number[] {
  const index = new Array<number>(shape.length);
  for (let k = shape.length - 1; k >= 0; k--) {
    index[k] = entry % shape[k]!;
    entry = Math.floor(entry / shape[k]!);
  }
  return index;
}

/** "3 rows", "1 row". */
export function counted(count: number, noun: string): string {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

/** The largest size of the finite entries; 1 where all are 0. */
export function extent(value: Value): number {
  const { data } = value;
  let most = 0;
  for (let k = 0; k < data.length; k++) {
    const size = Math.abs(Number(data[k]));
    if (size > most && size < Infinity) most = size;
  }
  return most || 1;
}
