/** Times, sizes and numbers of operations with three digits and their unit. */

function scaled(value: number, step: number, units: readonly string[]): string {
  let k = 0;
  while (Math.abs(value) >= step * 0.9995 && k < units.length - 1) { value /= step; k += 1; }
  return `${Number(value.toPrecision(3))} ${units[k]}`;
}

/** Such as "12.3 µs". */
export function seconds(time: number): string {
  return scaled(time * 1e9, 1000, ["ns", "µs", "ms", "s"]);
}

/** Such as "1.5 KiB". */
export function bytes(size: number): string {
  return scaled(size, 1024, ["B", "KiB", "MiB", "GiB", "TiB"]);
}

/** Such as "2.1 MFLOP". */
export function operations(count: number): string {
  return scaled(count, 1000, ["FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP"]);
}
