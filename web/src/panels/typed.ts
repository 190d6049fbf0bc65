/** Numbers that a student types: how exactly they are meant, and whether they agree. */
import { parsed } from "../parts/numbers";

/** Half of the last digit that a text gives: 0.005 for "0.90", 0.5 for "12". */
export function halfDigit(text: string): number {
  const plain = text.trim().replace("−", "-").replace(",", ".").toLowerCase();
  const [mantissa = "", exponent = "0"] = plain.split("e");
  const decimals = mantissa.includes(".") ? mantissa.length - mantissa.indexOf(".") - 1 : 0;
  return 0.5 * 10 ** (Number(exponent) - decimals);
}

export type Agreement = "right" | "few digits" | "wrong" | "unreadable";

/** Whether a text agrees with a number: to its own digits, and these to within 5 %. */
export function agreement(text: string, expected: number): Agreement {
  const x = parsed(text);
  if (x === null) return "unreadable";
  if (Object.is(x, expected) || x === expected) return "right";
  if (!Number.isFinite(x) || !Number.isFinite(expected)) return "wrong";
  const apart = Math.abs(x - expected), half = halfDigit(text) * (1 + 1e-9);
  const finest = Math.abs(expected) * 1e-6 + Number.MIN_VALUE;
  if (apart <= Math.max(finest, Math.min(half, 0.05 * Math.abs(expected)))) return "right";
  return apart <= half ? "few digits" : "wrong";
}

/** Whether a text is this number, for finding a slip: to its own digits, of which it needs two. */
export function means(text: string, candidate: number): boolean {
  return Number.isFinite(candidate) && agreement(text, candidate) === "right";
}
