import { expect, test } from "vitest";
import { bytes, operations, seconds } from "../src/machine/units";

test("numbers have three digits and the unit that fits", () => {
  expect(seconds(0)).toBe("0 ns");
  expect(seconds(12.34e-6)).toBe("12.3 µs");
  expect(seconds(0.9999e-3)).toBe("1 ms");
  expect(seconds(75)).toBe("75 s");
  expect(bytes(1536)).toBe("1.5 KiB");
  expect(bytes(3)).toBe("3 B");
  expect(operations(2_097_152)).toBe("2.1 MFLOP");
});
