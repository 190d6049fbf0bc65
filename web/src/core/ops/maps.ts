/** Arithmetic, functions of one number, bounds, casts: element by element, operands of one shape. */
import { type Value } from "../../arrays";
import {
  type Call, isBig, isFloat, type Kernel, type Numbers, numbers, operand, result, Uncomputable,
} from "../call";
import {
  bfloat16, erf, larger, power, rint, type Round, sigmoid, sign, smaller, softplus,
} from "./scalars";

// ---------------------------------------------------------------- loops
// A typed array rounds, or wraps around, what is stored in it; intermediate results are rounded by hand.

type One = (x: number, round: Round) => number;
type Two = (a: number, b: number, round: Round) => number;

/** The function that rounds to the result's dtype. */
function rounding(call: Call): Round {
  return call.dtype === "float32" ? Math.fround : (x) => x;
}

function ofOne(f: One, big?: (x: bigint) => bigint): Kernel {
  return (call) => {
    const out = result(call);
    const x = operand(call, 0).data;
    if (isBig(out.data)) {
      if (!big || !isBig(x)) throw new Error("not defined for 64-bit integers");
      for (let i = 0; i < x.length; i++) out.data[i] = big(x[i]!);
    } else {
      const [y, source, round] = [out.data, x as Numbers, rounding(call)];
      for (let i = 0; i < y.length; i++) y[i] = f(source[i]!, round);
    }
    return out;
  };
}

function ofTwo(f: Two, big?: (a: bigint, b: bigint) => bigint): Kernel {
  return (call) => {
    const out = result(call);
    if (isBig(out.data)) {
      if (!big) throw new Error("not defined for 64-bit integers");
      const [a, b] = [operand(call, 0).data, operand(call, 1).data] as BigInt64Array[];
      for (let i = 0; i < out.data.length; i++) out.data[i] = big(a![i]!, b![i]!);
    } else {
      const [y, a, b, round] = [out.data, numbers(call, 0), numbers(call, 1), rounding(call)];
      for (let i = 0; i < y.length; i++) y[i] = f(a[i]!, b[i]!, round);
    }
    return out;
  };
}

// ---------------------------------------------------------------- arithmetic, in loops of its own

type Loop = (y: Numbers, a: Numbers, b: Numbers) => void;

function fast(loop: Loop, big: (a: bigint, b: bigint) => bigint): Kernel {
  const general = ofTwo(() => NaN, big);
  return (call) => {
    if (call.dtype === "int64" || call.dtype === "uint64") return general(call);
    const out = result(call);
    loop(out.data as Numbers, numbers(call, 0), numbers(call, 1));
    return out;
  };
}

const add = fast((y, a, b) => {
  for (let i = 0; i < y.length; i++) y[i] = a[i]! + b[i]!;
}, (a, b) => a + b);

const subtract = fast((y, a, b) => {
  for (let i = 0; i < y.length; i++) y[i] = a[i]! - b[i]!;
}, (a, b) => a - b);

const multiply = fast((y, a, b) => {
  if (y instanceof Float32Array || y instanceof Float64Array) {
    for (let i = 0; i < y.length; i++) y[i] = a[i]! * b[i]!;
  } else {
    for (let i = 0; i < y.length; i++) y[i] = Math.imul(a[i]!, b[i]!);
  }
}, (a, b) => a * b);

const divide = fast((y, a, b) => {
  for (let i = 0; i < y.length; i++) y[i] = a[i]! / b[i]!;
}, (a, b) => a / b);

function square(call: Call): Value {
  const x = operand(call, 0);
  return multiply({ ...call, operands: [x, x] });
}

// ---------------------------------------------------------------- attributes

function clip(call: Call): Value {
  const out = result(call);
  const { low, high } = call.attributes;
  if (isBig(out.data)) {
    const least = low === null ? null : BigInt(low as number);
    const most = high === null ? null : BigInt(high as number);
    (operand(call, 0).data as BigInt64Array).forEach((x, i) => {
      const raised = least !== null && x < least ? least : x;
      out.data[i] = most !== null && raised > most ? most : raised;
    });
    return out;
  }
  const [y, x, round] = [out.data, numbers(call, 0), rounding(call)];
  const least = low === null ? -Infinity : round(Number(low));
  const most = high === null ? Infinity : round(Number(high));
  for (let i = 0; i < y.length; i++) {
    const raised = x[i]! < least ? least : x[i]!;
    y[i] = raised > most ? most : raised;
  }
  return out;
}

function powerScalar(call: Call): Value {
  const exponent = rounding(call)(Number(call.attributes["exponent"]));
  return ofOne((x) => power(x, exponent))(call);
}

// ---------------------------------------------------------------- casts

const RANGES: Record<string, [number, number]> = {
  int8: [-(2 ** 7), 2 ** 7], int16: [-(2 ** 15), 2 ** 15], int32: [-(2 ** 31), 2 ** 31],
  int64: [-(2 ** 63), 2 ** 63], uint8: [0, 2 ** 8], uint16: [0, 2 ** 16], uint32: [0, 2 ** 32],
  uint64: [0, 2 ** 64],
};

function cast(call: Call): Value {
  const x = operand(call, 0);
  const out = result(call);
  const source = x.data;
  if (call.dtype === "bool") {
    for (let i = 0; i < source.length; i++) out.data[i] = Number(source[i] != 0);
  } else if (isFloat(x.dtype) && !isFloat(call.dtype)) {
    truncate(call, source as Numbers, out);
  } else if (isBig(out.data)) {
    for (let i = 0; i < source.length; i++) out.data[i] = BigInt(source[i]!);
  } else if (isBig(source)) {
    const narrow = call.dtype === "float32" ? nearest32
      : call.dtype === "float64" ? Number : (v: bigint) => Number(BigInt.asUintN(32, v));
    for (let i = 0; i < source.length; i++) out.data[i] = narrow(source[i]!);
  } else {
    (out.data as Float64Array).set(source as Float64Array);
  }
  return out;
}

/** Floats to integers: the fraction is dropped. */
function truncate(call: Call, source: Numbers, out: Value): void {
  const [low, end] = RANGES[call.dtype]!;
  for (let i = 0; i < source.length; i++) {
    const whole = Math.trunc(source[i]!);
    if (!(whole >= low && whole < end)) {
      throw new Uncomputable(
        `${source[i]} does not fit in ${call.dtype}: what becomes of it depends on the processor`,
      );
    }
    out.data[i] = isBig(out.data) ? BigInt(whole) : whole;
  }
}

/** The float32 that is nearest to an integer, rounded once. */
function nearest32(x: bigint): number {
  const size = x < 0n ? -x : x;
  const dropped = size & 2047n; // 53 bits remain of 64, the last of them marking what is dropped
  const kept = Number((size >> 11n) | (dropped ? 1n : 0n)) * 2048;
  const near = Math.fround(size < 2n ** 53n ? Number(size) : kept);
  return x < 0n ? -near : near;
}

// ---------------------------------------------------------------- the table

const absolute = (x: bigint): bigint => (x < 0n ? -x : x);
const largerBig = (a: bigint, b: bigint): bigint => (a > b ? a : b);
const smallerBig = (a: bigint, b: bigint): bigint => (a < b ? a : b);

export const MAPS: Record<string, Kernel> = {
  add,
  subtract,
  multiply,
  divide,
  square,
  negative: ofOne((x) => -x, (x) => -x),
  reciprocal: ofOne((x) => 1 / x),
  sqrt: ofOne((x) => Math.sqrt(x)),
  rsqrt: ofOne((x, round) => 1 / round(Math.sqrt(x))),
  power: ofTwo((a, b) => power(a, b)),
  power_scalar: powerScalar,
  exp: ofOne((x) => Math.exp(x)),
  expm1: ofOne((x) => Math.expm1(x)),
  log: ofOne((x) => Math.log(x)),
  log1p: ofOne((x) => Math.log1p(x)),
  sin: ofOne((x) => Math.sin(x)),
  cos: ofOne((x) => Math.cos(x)),
  tanh: ofOne((x) => Math.tanh(x)),
  erf: ofOne((x) => erf(x)),
  sigmoid: ofOne(sigmoid),
  softplus: ofOne(softplus),
  relu: ofOne((x) => larger(x, 0)),
  softsign: ofOne((x, round) => x / round(1 + Math.abs(x))),
  abs: ofOne((x) => Math.abs(x), absolute),
  sign: ofOne(sign, (x) => (x > 0n ? 1n : x < 0n ? -1n : 0n)),
  maximum: ofTwo(larger, largerBig),
  minimum: ofTwo(smaller, smallerBig),
  clip,
  floor: ofOne((x) => Math.floor(x)),
  round: ofOne(rint),
  to_bfloat16: ofOne(bfloat16),
  cast,
};
