/** Comparisons, logic and selection, element by element: bools are bytes 0 and 1. */
import { type Value } from "../../arrays";
import { type Call, isBig, type Kernel, numbers, operand, result } from "../call";

type Compared = number | bigint;

function compare(holds: (a: Compared, b: Compared) => boolean): Kernel {
  return (call) => {
    const out = result(call);
    const [a, b] = [operand(call, 0).data, operand(call, 1).data];
    for (let i = 0; i < out.data.length; i++) out.data[i] = holds(a[i]!, b[i]!) ? 1 : 0;
    return out;
  };
}

function test(holds: (x: number) => boolean, integers: 0 | 1): Kernel {
  return (call) => {
    const out = result(call);
    const x = operand(call, 0).data;
    for (let i = 0; i < x.length; i++) {
      out.data[i] = isBig(x) ? integers : holds(x[i] as number) ? 1 : 0;
    }
    return out;
  };
}

function logic(f: (a: number, b: number) => number): Kernel {
  return (call) => {
    const out = result(call);
    const [a, b] = [numbers(call, 0), numbers(call, call.operands.length - 1)];
    for (let i = 0; i < a.length; i++) out.data[i] = f(a[i]!, b[i]!);
    return out;
  };
}

function where(call: Call): Value {
  const out = result(call);
  const condition = numbers(call, 0);
  const [a, b] = [operand(call, 1).data, operand(call, 2).data];
  if (isBig(out.data)) {
    const [one, other] = [a as BigInt64Array, b as BigInt64Array];
    for (let i = 0; i < one.length; i++) out.data[i] = condition[i] ? one[i]! : other[i]!;
  } else {
    const [y, one, other] = [out.data, a as Float64Array, b as Float64Array];
    for (let i = 0; i < y.length; i++) y[i] = condition[i] ? one[i]! : other[i]!;
  }
  return out;
}

export const LOGIC: Record<string, Kernel> = {
  equal: compare((a, b) => a === b),
  not_equal: compare((a, b) => a !== b),
  less: compare((a, b) => a < b),
  less_equal: compare((a, b) => a <= b),
  greater: compare((a, b) => a > b),
  greater_equal: compare((a, b) => a >= b),
  isfinite: test(Number.isFinite, 1),
  isnan: test(Number.isNaN, 0),
  logical_and: logic((a, b) => a & b),
  logical_or: logic((a, b) => a | b),
  logical_xor: logic((a, b) => a ^ b),
  logical_not: logic((a) => 1 - a),
  where,
  when_training: (call) => operand(call, call.training ? 0 : 1),
};
