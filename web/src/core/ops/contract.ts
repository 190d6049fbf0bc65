/** Products of matrices, and sums of products over named axes.
 *
 * A float32 product is exact in double; it is added to the sum and rounded to float32, term by term.
 * That is what the fused multiply-add of a processor does, so that small products have the very bits
 * of NumPy's. Libraries split long sums in ways of their own: there the last bits differ.
 */
import { type Value, size, zeros } from "../../arrays";
import { type Big, type Call, type Floats, isBig, type Kernel, type Numbers, operand } from "../call";
import { permuted } from "../strided";

/** The sizes of a product of batches of matrices: (batch, n, k) @ (batch, k, m). */
interface Sizes {
  batch: number;
  n: number;
  k: number;
  m: number;
}

function matmul(call: Call): Value {
  const [x, w] = [operand(call, 0), operand(call, 1)];
  const [n, k] = x.shape as [number, number];
  return product(call, x, w, { batch: 1, n, k, m: w.shape[1]! }, call.shape);
}

/** One product of batches of matrices: (both, left, inner) @ (both, inner, right). */
function einsum(call: Call): Value {
  const [x, w] = [operand(call, 0), operand(call, 1)];
  const [terms, out] = String(call.attributes["equation"]).split("->") as [string, string];
  const [a, b] = terms.split(",").map((term) => [...term]) as [string[], string[]];
  const sizes = new Map<string, number>();
  a.forEach((label, axis) => sizes.set(label, x.shape[axis]!));
  b.forEach((label, axis) => sizes.set(label, w.shape[axis]!));
  const both = a.filter((s) => b.includes(s) && out.includes(s));
  const inner = a.filter((s) => b.includes(s) && !out.includes(s));
  const left = a.filter((s) => !b.includes(s));
  const right = b.filter((s) => !a.includes(s));
  const of = (labels: string[]): number[] => labels.map((s) => sizes.get(s)!);
  const [batch, n, k, m] = [both, left, inner, right].map((part) => size(of(part))) as
    [number, number, number, number];
  const labels = [...both, ...left, ...right];
  const y = product(
    call,
    permuted(x, [...both, ...left, ...inner].map((s) => a.indexOf(s))),
    permuted(w, [...both, ...inner, ...right].map((s) => b.indexOf(s))),
    { batch, n, k, m },
    of(labels),
  );
  return permuted(y, [...out].map((s) => labels.indexOf(s)));
}

function product(call: Call, x: Value, w: Value, sizes: Sizes, shape: readonly number[]): Value {
  const out = zeros(call.dtype, shape);
  for (let b = 0; b < sizes.batch; b++) {
    if (isBig(out.data)) bigs(out.data, x.data as Big, w.data as Big, sizes, b);
    else if (call.dtype === "float32" || call.dtype === "float64") {
      floats(out.data as Floats, x.data as Floats, w.data as Floats, sizes, b);
    } else integers(out.data, x.data as Numbers, w.data as Numbers, sizes, b);
  }
  return out;
}

function floats(y: Floats, x: Floats, w: Floats, { n, k, m }: Sizes, batch: number): void {
  const row = y instanceof Float32Array ? new Float32Array(m) : new Float64Array(m);
  for (let i = 0; i < n; i++) {
    row.fill(0);
    for (let p = 0; p < k; p++) {
      const factor = x[(batch * n + i) * k + p]!;
      const from = (batch * k + p) * m;
      for (let j = 0; j < m; j++) row[j]! += factor * w[from + j]!;
    }
    y.set(row, (batch * n + i) * m);
  }
}

/** Integers wrap around; bools are combined by `and`, then `or`. */
function integers(y: Numbers, x: Numbers, w: Numbers, { n, k, m }: Sizes, batch: number): void {
  const truth = y instanceof Uint8Array;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < m; j++) {
      let sum = 0;
      for (let p = 0; p < k; p++) {
        sum = (sum + Math.imul(x[(batch * n + i) * k + p]!, w[(batch * k + p) * m + j]!)) | 0;
      }
      y[(batch * n + i) * m + j] = truth ? Number(sum > 0) : sum;
    }
  }
}

function bigs(y: Big, x: Big, w: Big, { n, k, m }: Sizes, batch: number): void {
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < m; j++) {
      let sum = 0n;
      for (let p = 0; p < k; p++) sum += x[(batch * n + i) * k + p]! * w[(batch * k + p) * m + j]!;
      y[(batch * n + i) * m + j] = sum;
    }
  }
}

export const CONTRACTIONS: Record<string, Kernel> = { matmul, einsum };
