/** The same elements in another shape or order, parts and margins, and what a run is made of. */
import { type Value, size } from "../../arrays";
import {
  type Call, integers, isBig, type Kernel, operand, reshaped, result, type Setting,
} from "../call";
import { broadcast, gathered, permuted, placed, strides } from "../strided";

const first: Kernel = (call) => operand(call, 0);

function slice(call: Call): Value {
  const x = operand(call, 0);
  const { steps, start } = part(call, x.shape);
  return gathered(x, call.shape, steps, start);
}

function pad(call: Call): Value {
  const out = result(call);
  fill(out, call.attributes["value"]!);
  const { steps, start } = part(call, call.shape);
  placed(out, operand(call, 0), steps, start);
  return out;
}

/** Where the attributes `start` and `step` select from an array of some shape. */
function part(call: Call, shape: readonly number[]): { steps: number[]; start: number } {
  const by = integers(call.attributes["step"]);
  const own = strides(shape);
  const start = integers(call.attributes["start"]).reduce((sum, at, a) => sum + at * own[a]!, 0);
  return { steps: own.map((step, a) => step * by[a]!), start };
}

function fill(out: Value, value: Setting): void {
  if (isBig(out.data)) (out.data as BigInt64Array).fill(BigInt(value as number));
  else (out.data as Float64Array).fill(Number(value));
}

function concat(call: Call): Value {
  const out = result(call);
  const axis = Number(call.attributes["axis"]);
  const own = strides(call.shape);
  let at = 0;
  for (const x of call.operands) {
    placed(out, x, own, at * own[axis]!);
    at += x.shape[axis]!;
  }
  return out;
}

/** The number of elements of a shape; an operand has the number of rows, where a step is shared. */
function count(call: Call): Value {
  const sizes = integers(call.attributes["shape"]);
  const rows = call.operands[0]?.data[0];
  const out = result(call);
  fill(out, rows === undefined ? size(sizes) : Number(rows) * size(sizes.slice(1)));
  return out;
}

export const VIEWS: Record<string, Kernel> = {
  constant: (call) => call.attributes["value"] as Value,
  reshape: (call) => reshaped(operand(call, 0), call.shape),
  transpose: (call) => permuted(operand(call, 0), integers(call.attributes["axes"])),
  broadcast_to: (call) => broadcast(operand(call, 0), call.shape),
  slice,
  pad,
  concat,
  count,
  stop_gradient: first,
  tracked: first,
  data_total: first,
  exchange: first,
  objective: first,
  recomputed: first,
  again: first,
};
