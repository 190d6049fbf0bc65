/** Numbers and attributes as Python writes them: `format(x, ".6g")`, `repr`, `str`. */
import type { Value } from "../arrays";
import type { Attribute } from "../document";
import { isFloat } from "./call";

/** `format(x, ".6g")` for so many significant digits. */
export function general(x: number, digits: number): string {
  if (!Number.isFinite(x)) return x !== x ? "nan" : x > 0 ? "inf" : "-inf";
  const sign = x < 0 || Object.is(x, -0) ? "-" : "";
  if (x === 0) return `${sign}0`;
  const [mantissa, exponent] = rounded(Math.abs(x), digits);
  if (exponent < -4 || exponent >= digits) return sign + scientific(trimmed(mantissa), exponent);
  return sign + positional(trimmed(mantissa), exponent);
}

/** `repr(x)` of a float: the fewest digits from which it can be read again. */
export function repr(x: number): string {
  if (!Number.isFinite(x) || x === 0) return general(x, 17) + (x === 0 ? ".0" : "");
  const [digits, exponent] = parts(Math.abs(x).toExponential());
  const sign = x < 0 ? "-" : "";
  if (exponent < -4 || exponent >= 16) return sign + scientific(digits, exponent);
  const text = positional(digits, exponent);
  return sign + (text.includes(".") ? text : `${text}.0`);
}

/** The digits of a positive number, rounded to so many, halves to even; and its decimal exponent. */
function rounded(x: number, digits: number): [string, number] {
  const [nearest, exponent] = parts(x.toExponential(digits - 1));
  const [exact] = parts(x.toExponential(Math.min(100, digits + 60)));
  const rest = exact.slice(digits);
  if (!/^50*$/.test(rest)) return [nearest, exponent];
  const even = Number(exact[digits - 1]) % 2 === 0; // a tie: JavaScript rounds up, Python to even
  return even ? [exact.slice(0, digits), parts(x.toExponential(100))[1]] : [nearest, exponent];
}

/** Digits and exponent of such as "1.25e-7". */
function parts(text: string): [string, number] {
  const [mantissa, exponent] = text.split("e") as [string, string];
  return [mantissa.replace(".", ""), Number(exponent)];
}

function trimmed(digits: string): string {
  return digits.replace(/0+$/, "");
}

function scientific(digits: string, exponent: number): string {
  const fraction = digits.length > 1 ? `.${digits.slice(1)}` : "";
  const size = String(Math.abs(exponent)).padStart(2, "0");
  return `${digits[0]}${fraction}e${exponent < 0 ? "-" : "+"}${size}`;
}

function positional(digits: string, exponent: number): string {
  if (exponent < 0) return `0.${"0".repeat(-exponent - 1)}${digits}`;
  if (digits.length <= exponent + 1) return digits.padEnd(exponent + 1, "0");
  return `${digits.slice(0, exponent + 1)}.${digits.slice(exponent + 1)}`;
}

/** An entry of an array: floats with some significant digits, others in full. */
export function entry({ dtype, data }: Value, at: number, digits: number): string {
  const x = data[at]!;
  if (dtype === "bool") return x ? "True" : "False";
  return isFloat(dtype) ? general(Number(x) + 0, digits) : String(x); // -0 is written 0
}

/** `str` of an attribute, where a list of the document is a tuple. */
export function attributeText(value: Attribute | undefined): string {
  if (typeof value === "string") return value;
  return inner(value ?? null);
}

function inner(value: Attribute): string {
  if (value === null) return "None";
  if (value === true || value === false) return value ? "True" : "False";
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : repr(value);
  if (typeof value === "string") return value === "N" ? "N" : quoted(value);
  if (Array.isArray(value)) return `(${value.map(inner).join(", ")}${value.length === 1 ? "," : ""})`;
  if ("float" in value) return value.float;
  return "integer" in value ? value.integer : `array(${value.array.shape.join(", ")})`;
}

/** `repr` of plain text. */
function quoted(text: string): string {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
  return mark + text.replaceAll("\\", "\\\\").replaceAll(mark, `\\${mark}`) + mark;
}
