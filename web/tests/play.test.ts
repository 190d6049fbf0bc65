/** Designs in links and files, and what is said of them. */
import { expect, test } from "vitest";
import { asFile, difference, fromFile, line, PAIRS, read, readEpochs, same, written } from "../src/play/designs";
import type { Design } from "../src/sections";

const DESIGN: Design = {
  hidden: [8, 4], activation: "tanh", init: "auto", norm: "none", dropout: 0, optimizer: "sgd",
  rate: 0.03, decay: 0, batch_size: 16, seed: 0, ignore: [],
};

test("a link brings designs back", () => {
  const other = { ...DESIGN, hidden: [], rate: 1e-7, ignore: ["a,b", "c&d=e", "#ü\u202e", "</script>"] };
  expect(read(`#${written([DESIGN])}`)).toEqual([{ ...DESIGN, ignore: undefined }].map(({ ignore: _, ...x }) => x));
  const back = read(written([DESIGN, other], { tab: "layers" }));
  expect(back).toHaveLength(2);
  expect(same({ ...DESIGN, ...back[1] }, other)).toBe(true);
});

test("a link of something else holds no designs", () => {
  for (const hash of ["", "#", "#tab=layers", "#view=steps&rows=1", "#%%%", "#a", "#a.=3"]) expect(read(hash)).toEqual([]);
});

test("what a link says wrongly is left for the server to refuse", () => {
  expect(read("#a.hidden=8,x&a.rate=fast&a.speed=3")).toEqual([{ hidden: [8, NaN], rate: NaN, speed: 3 }]);
});

test("a file brings designs back, and one of something else is named", () => {
  expect(fromFile(JSON.stringify({ designs: [DESIGN, DESIGN] }))).toEqual({ designs: [DESIGN, DESIGN], epochs: [] });
  expect(fromFile(asFile([DESIGN, DESIGN], [12, null]))).toEqual({ designs: [DESIGN, DESIGN], epochs: [12, 0] });
  for (const epochs of [12, [-1], ["2"], [0.5], [null]])
    expect(() => fromFile(JSON.stringify({ designs: [DESIGN], epochs }))).toThrow("epochs of this file");
  expect(() => fromFile("{")).toThrow("not JSON");
  for (const text of ["null", "[]", "{}", '{"designs": []}', '{"designs": [1]}', '{"designs": [{}, {}, {}]}', '{"designs": [[]]}'])
    expect(() => fromFile(text)).toThrow("holds no designs");
});

test("designs in words", () => {
  expect(line(DESIGN)).toBe("8-4 tanh, sgd 0.03, 16 rows a step");
  expect(line({ ...DESIGN, hidden: [], dropout: 0.5, norm: "batch" })).toContain("no hidden layer");
  expect(difference(DESIGN, { ...DESIGN, rate: 0.3, hidden: [] })).toBe("layers 8-4 / none, rate 0.03 / 0.3");
  expect(difference(DESIGN, DESIGN)).toBe("the same design");
});

test("each pair differs in one thing, and sets the same settings on both sides", () => {
  for (const pair of PAIRS) {
    const [a, b] = [{ ...DESIGN, ...pair.a }, { ...DESIGN, ...pair.b }];
    const keys = (Object.keys(DESIGN) as (keyof Design)[]).filter((k) => String(a[k]) !== String(b[k]));
    expect(keys, pair.name).toHaveLength(1);
  }
});

test("the link holds the epoch of each design that is looked at", () => {
  const link = written([DESIGN, DESIGN], {}, [12, 7]);
  expect(readEpochs(`#${link}`)).toEqual([12, 7]);
  expect(read(link)).toHaveLength(2);
  expect(read(link)[0]).not.toHaveProperty("epoch");
  expect(written([DESIGN], {}, [0])).toBe(written([DESIGN]));
  expect(written([DESIGN], {}, [null])).toBe(written([DESIGN]));
  expect(readEpochs("#a.epoch=x&b.epoch=-3")).toEqual([null, null]);
  expect(readEpochs("#a.epoch=1.5")).toEqual([null, null]);
});
