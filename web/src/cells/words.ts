/** The words of a text, counted and weighted as Python does. */
import type { Data } from "../arrays";
import type { BagForm } from "../document";
import { short } from "../parts/numbers";

const WORD = /[\p{L}\p{N}]+(?:['’][\p{L}\p{N}]+)*/gu;

const SHOWN = 16;

/** The words of a text, in lower case. */
export function wordsOf(text: string): string[] {
  return text.toLowerCase().match(WORD) ?? [];
}

/** The weighted counts of the known words, of length 1 together; all 0 without any. */
export function bagOf(text: string, { words, weights }: BagForm): number[] {
  const place = new Map(words.map((word, k) => [word, k]));
  const bag = new Float32Array(words.length);
  for (const word of wordsOf(text)) {
    const k = place.get(word);
    if (k !== undefined) bag[k]! += 1;
  }
  let squares = 0;
  bag.forEach((count, k) => {
    if (!count) return;
    bag[k] = count * Math.fround(weights[k]!);
    squares = Math.fround(squares + Math.fround(bag[k]! * bag[k]!));
  });
  const length = Math.fround(Math.sqrt(squares)) || 1;
  return [...bag].map((x) => Math.fround(x / length));
}

/** The counts that are not 0, in words: "red 0.71, wine 0.71; all others 0". */
export function bagText(words: readonly string[], data: Data, start: number): string {
  const found = words.flatMap((word, k) => {
    const x = Number(data[start + k]);
    return x ? [`${word} ${short(x)}`] : [];
  });
  if (!found.length) return `all ${words.length.toLocaleString("en")} are 0`;
  const more = found.length > SHOWN ? `, and ${found.length - SHOWN} more` : "";
  const others = words.length > found.length ? "; all others 0" : "";
  return found.slice(0, SHOWN).join(", ") + more + others;
}
