/** Texts of the drawing: names made safe and cut, numbers short. */
import { size, type Value } from "../arrays";

/** The longest text that is measured or kept in a title. */
const MOST = 300;

/** Returns a text in one line of at most `most` characters, cut in the middle; odd marks visible. */
export function cut(text: string, most = 28): string {
  const head = text.length > MOST ? `${text.slice(0, MOST / 2)}${text.slice(-MOST / 2)}` : text;
  // control and direction characters would move other text
  const plain = [...head.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, "\ufffd")];
  if (plain.length <= most && head === text) return plain.join("");
  const tail = Math.floor((most - 1) / 3);
  return `${plain.slice(0, most - 1 - tail).join("")}…${plain.slice(plain.length - tail).join("")}`;
}

/** The width in characters: wide scripts count twice. */
export function width(text: string): number {
  let n = 0;
  for (const c of text) n += /[\u1100-\u115f\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff00-\uff60]|[\u{1f300}-\u{1faff}]|[\u{20000}-\u{3ffff}]/u.test(c) ? 2 : 1;
  return n;
}

/** A number with three significant digits. */
export function short(x: number | bigint): string {
  if (typeof x === "bigint" || Number.isInteger(x)) return String(x).length > 7 ? exponential(Number(x)) : String(x);
  if (Number.isNaN(x)) return "nan";
  if (!Number.isFinite(x)) return x > 0 ? "inf" : "-inf";
  const text = String(Number(x.toPrecision(3)));
  return text.length > 8 ? exponential(x) : text;
}

function exponential(x: number): string {
  return x.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e");
}

/** The number of lines that a value of a shape is written in; 0: it is too large. */
export function lines(shape: readonly number[]): number {
  const [rows, columns] = table(shape);
  if (rows === 1) return columns <= 8 && columns > 0 ? 1 : 0;
  return rows <= 3 && columns <= 4 && columns > 0 ? rows : 0;
}

/** Rows and columns of a shape, axes of length 1 left out; rows 99: more axes than two. */
function table(shape: readonly number[]): [number, number] {
  const long = shape.filter((n) => n !== 1);
  if (long.length > 2) return [99, size(shape)];
  if (long.length === 2) return [long[0]!, long[1]!];
  // a column of several rows stays one line
  return [1, long[0] ?? 1];
}

/** A small value as lines of text; none where it is large. */
export function written(value: Value): string[] {
  const count = lines(value.shape);
  if (!count) return [];
  const numbers = Array.from(value.data as ArrayLike<number | bigint>, (x) =>
    value.dtype === "bool" ? (x ? "true" : "false") : short(x));
  const each = numbers.length / count;
  return Array.from({ length: count }, (_, k) => {
    const row = numbers.slice(k * each, (k + 1) * each);
    if (row.length === 1) return row[0]!;
    return `[${(row.length > 4 ? [...row.slice(0, 3), "…"] : row).join(", ")}]`;
  });
}

/** The width in characters to keep for a value of a shape: it does not change with its numbers. */
export function room(shape: readonly number[]): number {
  const columns = Math.min(table(shape)[1], 4);
  return lines(shape) ? (columns === 1 ? 9 : Math.min(10 * columns, 32)) : 0;
}

/** A line of numbers in at most `most` characters: the last entries are left out. */
export function fitted(line: string, most: number): string {
  if (line.length <= most) return line;
  const comma = line.lastIndexOf(", ", most - 4);
  return comma > 0 && line.includes("[") ? `${line.slice(0, comma)}, …]` : cut(line, most);
}
