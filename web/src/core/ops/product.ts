/** The gradient of a product, and its derivatives in more directions, without any division.
 *
 * Element k is the product of all elements but the k-th, differentiated in the directions t1, t2, ...:
 * the coefficient of e1 e2 ... in the product over j != k of (x_j + e1 t1_j + e2 t2_j + ...). The
 * products from the left and from the right are one number for each subset of the e's, a bit mask.
 */
import { type Value, zeros } from "../../arrays";
import { type Call, integers, type Kernel, type Numbers, plain } from "../call";
import { restored, runs } from "./sums";

function prodOthers(call: Call): Value {
  const parts = call.operands.map((x) => runs(x, integers(call.attributes["axis"])));
  const { moved, count, length, order } = parts[0]!;
  const data = parts.map((part) => plain(part.moved));
  const out = zeros(call.dtype, moved.shape);
  const full = 2 ** (data.length - 1) - 1;
  for (let run = 0; run < count; run++) {
    const left = running(data, run * length, length, 1);
    const right = running(data, run * length + length - 1, length, -1);
    for (let k = 0; k < length; k++) {
      const [before, after] = [left[k]!, right[length - 1 - k]!];
      let sum = 0;
      for (let mask = 0; mask <= full; mask++) sum += before[mask]! * after[full - mask]!;
      out.data[run * length + k] = sum;
    }
  }
  return restored(out, order);
}

/** For each element, the products of those before it, by subsets of the directions. */
function running(
  [x, ...directions]: Numbers[], start: number, length: number, step: number,
): Float64Array[] {
  let state = new Float64Array(2 ** directions.length);
  state[0] = 1;
  const states = [];
  for (let k = 0; k < length; k++) {
    states.push(state);
    const at = start + k * step;
    state = state.map((own, mask) => {
      const others = directions.reduce(
        (sum, t, e) => (mask & (1 << e) ? sum + state[mask - (1 << e)]! * t[at]! : sum), 0,
      );
      return own * x![at]! + others;
    });
  }
  return states;
}

export const PRODUCTS: Record<string, Kernel> = { prod_others: prodOthers };
