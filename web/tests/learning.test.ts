/** Frames put together, records found, scales, and what is said of a run. */
import { expect, test } from "vitest";
import type { ArrayForm } from "../src/document";
import { filtersOf } from "../src/learning/filters";
import { merged } from "../src/learning/merge";
import { allEpochs, firstLine, groups, measures, recordAt } from "../src/learning/records";
import { around, band, line, range, scale } from "../src/learning/scale";
import type { Learning } from "../src/sections";

const array = (n: number): ArrayForm => ({ dtype: "float32", shape: [1], data: String(n) });

/** What a server tells of some recorded epochs and rows of the history. */
function section(epochs: number[], losses: number[]): Learning {
  const q = epochs.map((e) => [e, e, e, e, e]);
  return {
    history: { epoch: losses.map((_, k) => k), loss: losses }, criterion: "loss", better: "min", best: 1,
    start: 1, guess: { loss: 1, told: "a guess" }, epochs,
    layers: [{
      name: "dense", what: "dense", units: 2, values: q, gradients: q, weights: q, updates: epochs,
      dead: epochs, saturated: epochs, killed: [], excited: [],
      groups: [{ name: "dense.w", weights: q, updates: epochs }],
    }],
    values: epochs.map((e) => ({ w: array(e) })),
    regions: {
      x: { column: "x", low: 0, high: 1 }, y: { column: "y", low: 0, high: 1 }, size: 1, classes: ["a"],
      points: [], answers: epochs.map(array), sure: epochs.map(array),
    },
    hidden: { layer: "dense", told: "", classes: ["a"], points: epochs.map(array), truth: [0] },
    confusion: null, worst: [], told: [],
  };
}

/** All lists by epoch of what is known. */
function lists(known: Learning): unknown[][] {
  const layer = known.layers[0]!;
  return [
    known.epochs, layer.values.map((q) => q[0]), layer.gradients.map((q) => q[0]), layer.weights.map((q) => q[0]),
    layer.updates, layer.groups[0]!.weights.map((q) => q[0]), layer.groups[0]!.updates, layer.dead, layer.saturated, known.values.map((v) => Number(v.w!.data)),
    known.regions!.answers.map((a) => Number(a.data)), known.regions!.sure!.map((a) => Number(a.data)),
    known.hidden!.points.map((a) => Number(a.data)),
  ];
}

test("a frame continues every list where it begins", () => {
  let known = merged(null, { record: 0, row: 0, learning: section([0, 1], [5]) });
  known = merged(known, { record: 2, row: 1, learning: section([3, 4], [4, 3, 2]) });
  for (const list of lists(known)) expect(list).toEqual([0, 1, 3, 4]);
  expect(known.history.loss).toEqual([5, 4, 3, 2]);
});

test("the filters of a convolution are pictures by unit and channel", () => {
  const data = Float64Array.from({ length: 16 }, (_, k) => k - 8); // (2, 2, channels 2, units 2)
  const layer = { ...section([0], []).layers[0]!, what: "conv 2x2, relu" };
  const made = filtersOf(layer, { dtype: "float64", shape: [2, 2, 2, 2], data })!;
  expect([made.most, made.units, made.channels]).toEqual([8, 2, 2]);
  expect(made.kernel(1, 0)).toEqual([[-7, -3], [1, 5]]);
  expect(made.mean(0)).toEqual([[-7, -3], [1, 5]]);
  const line = filtersOf(layer, { dtype: "float64", shape: [4, 1, 4], data })!;
  expect(line.kernel(0, 0)).toEqual([[-8, -4, 0, 4]]);
  expect(filtersOf(layer, { dtype: "float64", shape: [1, 1, 4, 4], data })).toBeNull();
  expect(filtersOf({ ...layer, what: "dense, relu" }, { dtype: "float64", shape: [2, 2, 2, 2], data })).toBeNull();
  expect(filtersOf(layer, null)).toBeNull();
});

test("a frame that comes twice, or says what is known already, changes nothing", () => {
  const frame = { record: 1, row: 1, learning: section([2, 3], [4, 3]) };
  const once = merged(merged(null, { record: 0, row: 0, learning: section([0], [5]) }), frame);
  expect(merged(once, frame)).toEqual(once);
});

test("when records are dropped, all are sent again, and the history goes on", () => {
  const before = merged(null, { record: 0, row: 0, learning: section([0, 1, 2, 3, 4], [5, 4, 3, 2]) });
  const after = merged(before, { record: 0, row: 4, learning: section([0, 2, 4, 5], [1]) });
  for (const list of lists(after)) expect(list).toEqual([0, 2, 4, 5]);
  expect(after.history.loss).toEqual([5, 4, 3, 2, 1]);
});

test("a frame beyond what is known waits for the one between", () => {
  const before = merged(null, { record: 0, row: 0, learning: section([0, 1], [5]) });
  expect(merged(before, { record: 7, row: 9, learning: section([9], [1]) })).toBe(before);
});

test("a column that begins late has gaps before", () => {
  const before = merged(null, { record: 0, row: 0, learning: section([0, 1], [5, 4]) });
  const more = section([2], [3]);
  more.history.accuracy = [0.5];
  expect(merged(before, { record: 2, row: 2, learning: more }).history.accuracy).toEqual([null, null, 0.5]);
});

test("the record of an epoch is the last one up to it", () => {
  expect(recordAt([0, 1, 5, 9], null)).toBe(3);
  expect([0, 1, 4, 5, 8, 99].map((e) => recordAt([0, 1, 5, 9], e))).toEqual([0, 1, 1, 2, 2, 3]);
  expect(recordAt([], 3)).toBe(-1);
  expect(allEpochs([section([0, 2], []), null, section([0, 1], [])])).toEqual([0, 1, 2]);
});

test("the first line compares with a guess", () => {
  const told = (start: number | null, loss: number | null, classes: string[] = []) =>
    firstLine({ start, guess: { loss, told: "guessing" }, confusion: { classes, counts: [], rows: "" } });
  expect(told(1.0986, 1.0986)).toContain("knows nothing");
  expect(told(1.1, 1.05)).toContain("a little above");
  expect(told(2.1, 1.05)).toContain("100 % above");
  expect(told(0.6931, 0.3, ["no", "yes"])).toContain("equal chances for all 2 classes");
  expect(told(2.1, 1.05, ["no", "yes"])).toContain("wrong answers it is sure of");
  expect(told(0.5, 1)).toContain("below 1, the loss of guessing");
  expect(told(0.5, null)).toBe("Before the first step the loss is 0.5.");
  expect(told(null, 1)).toBe("");
});

test("curves are all that does not count, and twins share axes", () => {
  const history = { epoch: [], step: [], seconds: [], rate: [], loss: [], validation_loss: [], validation_accuracy: [] };
  expect(measures(history)).toEqual(["loss", "validation_loss", "validation_accuracy"]);
  expect(groups([{ ...section([], []), history }, null])).toEqual(["loss", "accuracy"]);
});

test("scales hold what is shown", () => {
  expect(range([null, 3, NaN, -1, Infinity], false)).toEqual([-1, 3]);
  expect(range([0, -1, 1e-5, 0.1], true)).toEqual([1e-5, 0.1]);
  expect(range([null, 0], true)).toBeNull();
  expect(around([null, [1, 2], [0, 1]])).toEqual([0, 2]);
  const plain = scale([-1, 3], false);
  expect(plain.place(-1)).toBeGreaterThanOrEqual(0);
  expect(plain.place(3)).toBeLessThanOrEqual(1);
  expect(plain.ticks.map((t) => t.value)).toContain(0);
  const log = scale([1e-5, 0.1], true);
  expect([log.place(1e-5), log.place(0.1), log.place(0), log.place(null)]).toEqual([0, 1, 0, null]);
  expect(log.place(1e-3)).toBeCloseTo(0.5);
  expect(log.ticks.map((t) => t.text)).toEqual(["0.1", "0.01", "10⁻³", "10⁻⁴", "10⁻⁵"]);
  for (const [low, high] of [[0, 0], [5, 5], [1e-300, 1e-299], [-1e9, 1e9]] as const)
    expect(scale([low, high], false).ticks.length).toBeGreaterThan(0);
  expect(scale([1e-40, 1], true).low).toBe(1e-12);
});

test("bands and lines are broken where nothing was measured", () => {
  const made = scale([0, 4], false);
  const q = [[0, 1, 2, 3, 4], [null, null, null, null, null], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]];
  const path = band(q, 0, 4, (k) => k, (v) => v, made);
  expect(path.match(/M/g)).toHaveLength(2);
  expect(path).not.toContain("NaN");
  expect(line([1, null, 2, 3], (k) => k, (v) => v, made).match(/[ML]/g)).toEqual(["M", "M", "L"]);
});
