/** Dates in the cells of a table: the moment that a text means, and its parts; as Python reads them. */

const DAY = 86_400_000_000, MICROSECONDS = 86_400_000_000n;
const MONTHS = [
  "january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
  "november", "december",
];
const CLOCK = /^(?<day>.*\S)[ T]+(?<hour>\d{1,2}):(?<minute>\d\d)(?::(?<second>\d\d)(?:[.,](?<part>\d+))?)? ?(?<half>[AaPp][Mm])? ?(?<zone>Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?$/;
const ISO = /^(?<day>\d{4}-\d\d-\d\d)(?:.(?<hour>\d\d)(?::?(?<minute>\d\d)(?::?(?<second>\d\d)(?:[.,](?<part>\d+))?)?)?(?<zone>Z|[+-]\d\d(?::?\d\d)?)?)?$/s;
const FIELDS: Record<string, string> = {
  d: "(?<d>3[0-1]|[1-2]\\d|0[1-9]|[1-9]| [1-9])", m: "(?<m>1[0-2]|0[1-9]|[1-9])",
  Y: "(?<Y>\\d{4})", y: "(?<y>\\d\\d)",
  B: `(?<B>${[...MONTHS].sort((a, b) => b.length - a.length).join("|")})`,
  b: `(?<b>${MONTHS.map((x) => x.slice(0, 3)).join("|")})`,
};

/** The moment of a text in microseconds since 1970 in UTC, by the first format that fits. */
export function moment(text: string, forms: readonly string[]): bigint | null {
  for (const form of forms) {
    const found = form === "iso" ? iso(text) : withClock(text, form);
    if (found !== null) return found;
  }
  return null;
}

function iso(text: string): bigint | null {
  if (!/^\d{4}-\d\d-\d\d/.test(text)) return null;
  const found = ISO.exec(text)?.groups;
  return (found && joined(day(found["day"]!, "%Y-%m-%d"), found)) ?? withClock(text, "%Y-%m-%d");
}

function withClock(text: string, form: string): bigint | null {
  const behind = CLOCK.exec(text)?.groups;
  return behind ? joined(day(behind["day"]!, form), behind) : day(text, form);
}

/** A day with a time of day; null where there is no such time. */
function joined(start: bigint | null, clock: Record<string, string | undefined>): bigint | null {
  const half = clock["half"]?.toLowerCase();
  let hour = Number(clock["hour"] ?? 0);
  const minute = Number(clock["minute"] ?? 0), second = Number(clock["second"] ?? 0);
  if (half && (hour < 1 || hour > 12)) return null;
  if (half) hour = (hour % 12) + (half === "pm" ? 12 : 0);
  if (start === null || hour > 23 || minute > 59 || second > 59) return null;
  const part = BigInt((clock["part"] ?? "").padEnd(6, "0").slice(0, 6));
  const offset = zone(clock["zone"] ?? "Z");
  if (offset === null) return null;
  return start + BigInt((hour * 60 + minute - offset) * 60 + second) * 1_000_000n + part;
}

/** Minutes east of UTC. */
function zone(text: string): number | null {
  if (!/^[+-]/.test(text)) return 0;
  const digits = text.slice(1).replace(":", "").padEnd(4, "0");
  const minutes = Number(digits.slice(0, 2)) * 60 + Number(digits.slice(2));
  return minutes >= 1440 ? null : text.startsWith("-") ? -minutes : minutes;
}

/** The first moment of a day in a format of strptime; null where the text is not one. */
function day(text: string, form: string): bigint | null {
  const pattern = form
    .replace(/[.*+?^$(){}|[\]\\]/g, "\\$&").replace(/\s+/g, "\\s+")
    .replace(/%([A-Za-z])/g, (_, name: string) => FIELDS[name]!);
  const found = new RegExp(`^(?:${pattern})`, "i").exec(text);
  if (!found || found[0].length !== text.length) return null;
  const { d, m, Y, y, B, b } = found.groups!;
  const name = (B ?? b)?.toLowerCase().slice(0, 3);
  const month = name === undefined ? Number(m) : MONTHS.findIndex((x) => x.startsWith(name)) + 1;
  const year = Y === undefined ? Number(y) + (Number(y) <= 68 ? 2000 : 1900) : Number(Y);
  return year < 1 || Number(d) > length(year, month) ? null : start(year, month, Number(d));
}

function length(year: number, month: number): number {
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  return month === 2 ? 28 + Number(leap) : 30 + ((month + (month > 7 ? 1 : 0)) % 2);
}

/** Microseconds from 1970 to a day. */
function start(year: number, month: number, day: number): bigint {
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  return BigInt(date.getTime()) * 1000n;
}

/** The parts of a date that an encoder can make, by name. */
const PARTS: Record<string, (t: bigint) => number> = {
  days: (t) => Number(t) / DAY,
  year: yearOf,
  yearday_sin: (t) => Math.sin((2 * Math.PI * inYear(t)) / 366),
  yearday_cos: (t) => Math.cos((2 * Math.PI * inYear(t)) / 366),
  weekday_sin: (t) => Math.sin((2 * Math.PI * weekday(t)) / 7),
  weekday_cos: (t) => Math.cos((2 * Math.PI * weekday(t)) / 7),
  hour_sin: (t) => Math.sin(2 * Math.PI * inDay(t)),
  hour_cos: (t) => Math.cos(2 * Math.PI * inDay(t)),
};

/** The parts in words. */
export const PART_WORDS: Readonly<Record<string, string>> = {
  days: "days since 1970", year: "year",
  yearday_sin: "place in the year, sine", yearday_cos: "place in the year, cosine",
  weekday_sin: "place in the week, sine", weekday_cos: "place in the week, cosine",
  hour_sin: "place in the day, sine", hour_cos: "place in the day, cosine",
};

/** The numbers that a moment becomes; NaN for a gap. */
export function dateParts(t: bigint | null, parts: readonly string[]): number[] {
  return parts.map((name) => (t === null ? NaN : PARTS[name]!(t)));
}

function dayNumber(t: bigint): bigint {
  const days = t / MICROSECONDS;
  return t % MICROSECONDS < 0n ? days - 1n : days;
}

function yearOf(t: bigint): number {
  return new Date(Number(dayNumber(t)) * 86_400_000).getUTCFullYear();
}

function inYear(t: bigint): number {
  return Number(t - start(yearOf(t), 1, 1)) / DAY;
}

function inDay(t: bigint): number {
  return Number(t - dayNumber(t) * MICROSECONDS) / DAY;
}

/** 0 for a Monday. */
function weekday(t: bigint): number {
  return (((Number(dayNumber(t)) - 4) % 7) + 7) % 7;
}

/** A moment as "2024-03-05" or "2024-03-05 14:30:00". */
export function momentText(t: bigint): string {
  const text = new Date(Number(t / 1000n)).toISOString();
  return inDay(t) === 0 ? text.slice(0, 10) : text.slice(0, 19).replace("T", " ");
}
