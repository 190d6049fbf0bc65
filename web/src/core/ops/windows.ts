/** Windows that slide along axes, and the sum of their elements at their places. */
import { type Value, size, zeros } from "../../arrays";
import { type Call, integers, isBig, type Kernel, operand, result } from "../call";
import { gathered, placed, strides } from "../strided";
import { Adder } from "./indexing";

interface Slide {
  axis: number;
  places: readonly number[];
  size: readonly number[];
  stride: readonly number[];
  dilation: readonly number[];
  before: readonly number[];
}

/** The windows of an array, with a margin of `fill`. */
function slid(x: Value, by: Slide, fill: number): Value {
  const padded = x.shape.map((dim, a) => {
    const k = a - by.axis;
    if (k < 0 || k >= by.size.length) return dim;
    const reach = (by.places[k]! - 1) * by.stride[k]! + (by.size[k]! - 1) * by.dilation[k]! + 1;
    return Math.max(reach, by.before[k]! + dim);
  });
  const own = strides(padded);
  const whole = zeros(x.dtype, padded);
  if (isBig(whole.data)) (whole.data as BigInt64Array).fill(BigInt(fill));
  else (whole.data as Float64Array).fill(fill);
  placed(whole, x, own, by.before.reduce((sum, b, k) => sum + b * own[by.axis + k]!, 0));
  const along = own.slice(by.axis, by.axis + by.size.length);
  const [head, tail] = [own.slice(0, by.axis), own.slice(by.axis + by.size.length)];
  const shape = [
    ...padded.slice(0, by.axis), ...by.places, ...by.size,
    ...padded.slice(by.axis + by.size.length),
  ];
  const steps = [
    ...head, ...along.map((s, k) => s * by.stride[k]!), ...along.map((s, k) => s * by.dilation[k]!),
    ...tail,
  ];
  return gathered(whole, shape, steps);
}

function slideOf(call: Call, shape: readonly number[], count: number): Slide {
  const axis = Number(call.attributes["axis"]);
  return {
    axis,
    places: shape.slice(axis, axis + count),
    size: shape.slice(axis + count, axis + 2 * count),
    stride: integers(call.attributes["stride"]),
    dilation: integers(call.attributes["dilation"]),
    before: integers(call.attributes["before"]),
  };
}

function windows(call: Call): Value {
  const count = integers(call.attributes["size"]).length;
  return slid(operand(call, 0), slideOf(call, call.shape, count), Number(call.attributes["fill"]));
}

/** The place of each element is that of its number among the windows of all numbers. */
function overlapAdd(call: Call): Value {
  const [x, adder] = [operand(call, 0), new Adder(result(call))];
  const numbers = zeros("float64", call.shape);
  for (let k = 0; k < size(call.shape); k++) numbers.data[k] = k;
  const by = slideOf(call, x.shape, integers(call.attributes["lengths"]).length);
  if (!x.data.length) return adder.total();
  slid(numbers, by, -1).data.forEach((place, k) => {
    if (Number(place) >= 0) adder.add(x.data, k, Number(place), 1);
  });
  return adder.total();
}

export const WINDOWS: Record<string, Kernel> = { windows, overlap_add: overlapAdd };
