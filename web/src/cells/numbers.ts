/** Numbers in the cells of a table: "1,234.5", "-$12", "(45 %)", "12 kg"; as Python reads them. */

const PLAIN = /^(?:[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|[+-]?inf(?:inity)?)$/i;
const THOUSANDS = {
  ".": /^[+-]?[1-9]\d{0,2}(?:[, '\u00a0\u202f]\d{3})+(?:\.\d+)?$/,
  ",": /^[+-]?[1-9]\d{0,2}(?:[. '\u00a0\u202f]\d{3})+(?:,\d+)?$/,
};
const MARKS = { ".": /[ '\u00a0\u202f,]/g, ",": /[ '\u00a0\u202f.]/g };
const AROUND = /^[ \t$€£¥%\u00a0]+|[ \t$€£¥%\u00a0]+$/g;
const LEDGER = /^(?:\((.*)\)|[-\u2212](.*))$/;

/** The number of a text that is written as programs write numbers; undefined for others. */
export function plainNumber(text: string): number | undefined {
  if (!PLAIN.test(text)) return undefined;
  if (!/inf/i.test(text)) return Number(text);
  return text.startsWith("-") ? -Infinity : Infinity;
}

/** The number in a cell; NaN where there is none. */
export function numberIn(cell: string, decimal: "." | ",", unit: string): number {
  let text = cell.replace(AROUND, ""), sign = 1;
  if (unit) {
    if (text.startsWith(unit)) text = text.slice(unit.length);
    if (text.endsWith(unit)) text = text.slice(0, -unit.length);
    text = text.replace(AROUND, "");
  }
  if (decimal === "." && PLAIN.test(text)) return plainNumber(text)!;
  const negative = LEDGER.exec(text);
  if (negative) {
    text = (negative[1] || negative[2] || "").replace(AROUND, "");
    sign = -1;
    if (/^[+-]/.test(text)) return NaN;
  }
  if (THOUSANDS[decimal].test(text)) text = text.replace(MARKS[decimal], "");
  if (decimal === ",") text = text.replaceAll(",", ".");
  return sign * (plainNumber(text) ?? NaN);
}

/** A plain number as its shortest text, "3.0" as "3"; other texts, and codes such as "007", as they are. */
export function labelOf(text: string): string {
  const x = /^(?:[+-]?0\d+|\+\d{7,})$/.test(text) ? undefined : plainNumber(text);
  return x !== undefined && Number.isSafeInteger(x) ? String(x) : text;
}
