/** The table rows that a minibatch uses: see ops/rows.py. An entry (n, k) has position n * l + k. */
import { type Value, size, zeros } from "../../arrays";
import { type Call, type Kernel, operand, result } from "../call";
import { Adder, checked, copyRun } from "./indexing";

/** For each index the position of the last one that is equal. */
function lastEqual(call: Call): Value {
  const out = result(call);
  const indices = checked(operand(call, 0), Number(call.attributes["size"]));
  const last = new Map<number, number>();
  indices.forEach((index, position) => last.set(index, position));
  indices.forEach((index, position) => (out.data[position] = last.get(index)!));
  return out;
}

function isLast(call: Call): Value {
  const out = result(call);
  const positions = operand(call, 0).data;
  for (let i = 0; i < positions.length; i++) out.data[i] = Number(Number(positions[i]) === i);
  return out;
}

function addAt(call: Call): Value {
  const x = operand(call, 0);
  const adder = new Adder(zeros(call.dtype, call.shape));
  const width = size(x.shape.slice(2));
  checked(operand(call, 1), size(x.shape.slice(0, 2))).forEach((position, k) => {
    adder.add(x.data, k * width, position * width, width);
  });
  return adder.total();
}

function readAt(call: Call): Value {
  const [x, out] = [operand(call, 0), result(call)];
  const width = size(x.shape.slice(2));
  checked(operand(call, 1), size(x.shape.slice(0, 2))).forEach((position, k) => {
    copyRun(x.data, position * width, k * width, width, out.data);
  });
  return out;
}

function putRows(call: Call): Value {
  const [table, rows, out] = [operand(call, 0), operand(call, 2), result(call)];
  const width = size(table.shape.slice(1));
  copyRun(table.data, 0, 0, table.data.length, out.data);
  checked(operand(call, 1), table.shape[0]!).forEach((index, k) => {
    copyRun(rows.data, k * width, index * width, width, out.data);
  });
  return out;
}

export const ROWS: Record<string, Kernel> = {
  last_equal: lastEqual,
  is_last: isLast,
  add_at: addAt,
  read_at: readAt,
  put_rows: putRows,
};
