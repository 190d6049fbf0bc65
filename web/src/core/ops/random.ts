/** Random numbers as a function of seed, step, node and element: Philox 4x32-10, to the bit.
 *
 * Source: J. Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011.
 */
import { type Value, size } from "../../arrays";
import { type Call, type Kernel, operand, result } from "../call";

type Words = [number, number, number, number];

/** Four random words for a counter: 10 rounds. Words are integers from 0 below 2^32. */
export function philox([c0, c1, c2, c3]: Words, [k0, k1]: [number, number]): Words {
  for (let round = 0; round < 10; round++) {
    const [high0, low0] = product(c0, 0xd2511f53);
    const [high1, low1] = product(c2, 0xcd9e8d57);
    [c0, c1, c2, c3] = [(high1 ^ c1 ^ k0) >>> 0, low1, (high0 ^ c3 ^ k1) >>> 0, low0];
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** The high and the low half of the product of two words. */
function product(a: number, b: number): [number, number] {
  const [aHigh, aLow, bHigh, bLow] = [a >>> 16, a & 0xffff, b >>> 16, b & 0xffff];
  const cross = aHigh * bLow + ((aLow * bLow) >>> 16);
  const other = aLow * bHigh + (cross % 0x10000);
  const high = aHigh * bHigh + Math.floor(cross / 0x10000) + Math.floor(other / 0x10000);
  return [high >>> 0, Math.imul(a, b) >>> 0];
}

/** Element (row, column) takes word column % 4 of counter (column // 4, row, step, stream). */
function uniform(call: Call): Value {
  const [k0, k1, step] = [...operand(call, 0).data].map(Number) as [number, number, number];
  const first = Number(call.operands[1]?.data[0] ?? 0);
  const out = result(call);
  const rows = call.shape[0] ?? 1;
  const width = size(call.shape.slice(1));
  for (let row = 0; row < rows; row++) {
    const place = (row + first) >>> 0;
    for (let column = 0; column < width; column += 4) {
      const words = philox([column / 4, place, step, call.stream], [k0, k1]);
      const end = Math.min(4, width - column);
      for (let k = 0; k < end; k++) out.data[row * width + column + k] = (words[k]! >>> 8) * 2 ** -24;
    }
  }
  return out;
}

export const RANDOM: Record<string, Kernel> = { uniform };
