import { expect, test } from "vitest";
import { decode } from "../src/arrays";

test("an array is decoded from little-endian bytes", () => {
  const value = decode({ dtype: "float32", shape: [2], data: "AACAPwAAAMA=" });
  expect([...value.data]).toEqual([1, -2]);
  expect(value.shape).toEqual([2]);
});
