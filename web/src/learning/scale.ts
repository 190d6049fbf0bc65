/** Scales of the small charts: linear or logarithmic, from the range of what is shown. */
import { scaleLinear } from "d3-scale";
import { short } from "../parts/numbers";
import type { Quantiles } from "../sections";

export interface Scale {
  log: boolean;
  low: number;
  high: number;
  /** The place of a number between 0, the lowest, and 1, the highest; null where it has none. */
  place: (x: number | null) => number | null;
  ticks: { value: number; at: number; text: string }[];
}

/** The least and the greatest of the numbers that a scale can show; null where there are none. */
export function range(numbers: Iterable<number | null>, log: boolean): [number, number] | null {
  let low = Infinity, high = -Infinity;
  for (const x of numbers) {
    if (x === null || !Number.isFinite(x) || (log && x <= 0)) continue;
    if (x < low) low = x;
    if (x > high) high = x;
  }
  return low <= high ? [low, high] : null;
}

/** The range of several ranges. */
export function around(ranges: readonly ([number, number] | null)[]): [number, number] | null {
  return range(ranges.flatMap((x) => x ?? []), false);
}

/** Decades that a logarithmic scale shows at most, from the greatest number down. */
const DECADES = 12;

export function scale(range: [number, number] | null, log: boolean, count = 3): Scale {
  return log ? logarithmic(range ?? [1e-3, 1]) : linear(range ?? [0, 1], count);
}

function linear([low, high]: [number, number], count: number): Scale {
  if (low === high) [low, high] = [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
  const made = scaleLinear().domain([low, high]).nice(count);
  const [from, to] = made.domain() as [number, number];
  const place = (x: number | null) => (x === null ? null : clamp((x - from) / (to - from)));
  const ticks = made.ticks(count).map((x) => ({ value: x, at: place(x)!, text: short(x, 3) }));
  return { log: false, low: from, high: to, place, ticks };
}

function logarithmic([low, high]: [number, number]): Scale {
  const top = Math.ceil(Math.log10(high) - 1e-9);
  const bottom = Math.max(Math.min(Math.floor(Math.log10(low) + 1e-9), top - 1), top - DECADES);
  const place = (x: number | null) =>
    x === null ? null : x <= 0 ? 0 : clamp((Math.log10(x) - bottom) / (top - bottom));
  const step = Math.max(1, Math.ceil((top - bottom) / 4));
  const ticks = [];
  for (let k = top; k >= bottom; k -= step) ticks.push({ value: 10 ** k, at: place(10 ** k)!, text: power(k) });
  return { log: true, low: 10 ** bottom, high: 10 ** top, place, ticks };
}

const clamp = (x: number) => Math.min(1, Math.max(0, x));

function power(k: number): string {
  if (k >= -2 && k <= 2) return String(Number((10 ** k).toPrecision(1)));
  const digits = "⁰¹²³⁴⁵⁶⁷⁸⁹";
  return `10${k < 0 ? "⁻" : ""}${[...String(Math.abs(k))].map((d) => digits[Number(d)]).join("")}`;
}

/** The area between two of the five quantiles over the records, as the path of an SVG. */
export function band(
  quantiles: Quantiles, from: number, to: number, x: (k: number) => number, y: (v: number) => number,
  scale: Scale,
): string {
  let path = "";
  for (const [first, last] of stretches(quantiles, (q) => q[from] != null && q[to] != null)) {
    const above: string[] = [], below: string[] = [];
    for (let k = first; k <= last; k++) {
      const ends = first === last ? [x(k) - 1, x(k) + 1] : [x(k)];
      for (const at of ends) {
        above.push(`${at.toFixed(1)} ${y(scale.place(quantiles[k]![to]!)!).toFixed(1)}`);
        below.unshift(`${at.toFixed(1)} ${y(scale.place(quantiles[k]![from]!)!).toFixed(1)}`);
      }
    }
    path += `M${[...above, ...below].join("L")}Z`;
  }
  return path;
}

/** The line of a number over the records, interrupted where it has none. */
export function line(
  numbers: readonly (number | null | undefined)[], x: (k: number) => number, y: (v: number) => number,
  scale: Scale,
): string {
  let path = "", open = false;
  numbers.forEach((value, k) => {
    const place = value == null ? null : scale.place(value);
    if (place === null) {
      open = false;
      return;
    }
    path += `${open ? "L" : "M"}${x(k).toFixed(1)} ${y(place).toFixed(1)}`;
    open = true;
  });
  return path;
}

function stretches<T>(items: readonly T[], has: (item: T) => boolean): [number, number][] {
  const found: [number, number][] = [];
  items.forEach((item, k) => {
    if (!has(item)) return;
    const last = found.at(-1);
    if (last && last[1] === k - 1) last[1] = k;
    else found.push([k, k]);
  });
  return found;
}
