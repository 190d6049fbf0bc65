/** What a cell becomes: the numbers of each part of its encoder, and what to tell of it. */
import type { EncoderForm, ReadingForm, TargetForm } from "../document";
import { counted } from "../parts/numbers";
import { dateParts, moment, momentText } from "./dates";
import { labelOf, numberIn, plainNumber } from "./numbers";
import { bagOf, wordsOf } from "./words";

export interface Read {
  /** By part of the encoder; null: refused, by Python as well. */
  values: number[][] | null;
  /** In words: how it was read where that is not plain, or why it could not be. */
  told: string;
  /** Whether the text is none that the column has values of. */
  odd: boolean;
}

type Column = Pick<EncoderForm, "levels" | "gaps"> & { reading: ReadingForm };

/** Reads a cell of a column, as `model.predict` reads a file with it. */
export function readCell(column: Column, cell: string): Read {
  const text = cell.trim();
  const { reading } = column;
  if (/\p{Nd}/u.test(text.replace(/\d/g, "")) && (reading.kind === "number" || reading.kind === "date"))
    return { values: null, told: "digits of other scripts are read by Python, not by this page", odd: true };
  const gap = isGap(reading, text);
  if (reading.kind === "number") return number(column, reading, text, gap);
  if (reading.kind === "category") return category(column, reading, text, gap);
  if (reading.kind === "text") return bag(column, reading, text, gap);
  if (reading.kind === "date") {
    const t = gap ? null : moment(labelOf(text), reading.forms);
    const values = dateParts(t, reading.parts).map((x) => [x]);
    if (t !== null) return { values, told: momentText(t) === text ? "" : `read as ${momentText(t)}`, odd: false };
    return gap ? missing(column, values) : lost(values, `not a date read as ${reading.words}`);
  }
  const word = labelOf(text).toLowerCase();
  const x = reading.true.includes(word) ? 1 : reading.false.includes(word) ? 0 : NaN;
  if (!Number.isNaN(x)) return { values: [[x]], told: "", odd: false };
  return gap ? missing(column, [[x]]) : lost([[x]], "neither yes nor no");
}

/** Reads a target: a class by its name, or a number. */
export function readTarget(target: TargetForm, cell: string): Read {
  const text = cell.trim();
  if (!target.reading) {
    const k = target.classes.indexOf(text);
    return { values: k < 0 ? null : [[k]], told: k < 0 ? "not a class that training had" : "", odd: k < 0 };
  }
  const read = readCell({ reading: target.reading, levels: [], gaps: 0 }, cell);
  if (!read.values || !Number.isNaN(read.values[0]![0]!)) return read;
  return { values: null, told: "not a number: the loss needs one", odd: true };
}

function isGap({ gaps }: ReadingForm, text: string): boolean {
  const x = plainNumber(text);
  return text === "" || gaps.includes(text) || (x !== undefined && gaps.some((g) => plainNumber(g) === x));
}

function missing(column: Column, values: number[][]): Read {
  return { values, told: column.gaps ? "a gap" : "a gap, which training had not in this column", odd: false };
}

function lost(values: number[][], why: string): Read {
  return { values, told: `${why}: it counts as a gap`, odd: true };
}

function number(
  column: Column, { decimal, unit, gaps }: ReadingForm & { kind: "number" }, text: string, gap: boolean,
): Read {
  const x = gap ? NaN : numberIn(text, decimal, unit);
  if (Math.abs(x) === Infinity) return { values: null, told: "infinity is refused, by Python as well", odd: true };
  if (!Number.isNaN(x)) return { values: [[x]], told: plainNumber(text) === x ? "" : `read as ${x}`, odd: false };
  const said = gap || gaps.some((g) => g.toLowerCase() === text.toLowerCase());
  return said ? missing(column, [[x]]) : lost([[x]], "not a number");
}

function category(
  column: Column, reading: ReadingForm & { kind: "category" }, text: string, gap: boolean,
): Read {
  const known = column.levels.slice(2);
  let k = text === "" ? -1 : known.indexOf(text);
  if (k < 0 && text !== "") k = onlyOne(known, text, reading.by_number);
  const none = k < 0 && gap;
  const code = k >= 0 ? k + 2 : none ? 0 : 1;
  const values = [[code]];
  if (reading.words.length) values.push(bagOf(none ? "" : text, reading));
  if (none) return missing(column, values);
  if (k >= 0) return { values, told: known[k] === text ? "" : `read as ${known[k]}`, odd: false };
  return { values, told: `none of the ${counted(known.length, "level")} of training: "unseen or rare"`, odd: true };
}

/** The one level that means the same as a text: 3 and 3.0; -1 where there is none, or several. */
function onlyOne(levels: readonly string[], text: string, byNumber: boolean): number {
  const key = (label: string): string => {
    const x = byNumber ? plainNumber(label) : undefined;
    if (x !== undefined) return `=${x}`;
    return !byNumber && /^-*\d+\.0$/.test(label) ? label.slice(0, -2) : label;
  };
  const found = levels.flatMap((level, k) => (key(level) === key(text) ? [k] : []));
  return found.length === 1 ? found[0]! : -1;
}

function bag(column: Column, reading: ReadingForm & { kind: "text" }, text: string, gap: boolean): Read {
  const values = [bagOf(gap ? "" : text, reading)];
  if (gap) return missing(column, values);
  const all = [...new Set(wordsOf(text))], known = new Set(reading.words);
  const others = all.filter((word) => !known.has(word));
  if (others.length === all.length) return { values, told: "no word that training counts: all features are 0", odd: true };
  const some = `${others.slice(0, 6).join(", ")}${others.length > 6 ? ", …" : ""}`;
  return { values, told: others.length ? `words that are not counted: ${some}` : "", odd: false };
}
