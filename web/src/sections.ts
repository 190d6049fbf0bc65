/** The document's sections of other views than the graph: learning, comparison, machine.
 *
 * Python writes them; `live` ones arrive again and again, as frames.
 */
import type { ArrayForm, InspectionDocument } from "./document";

/** Numbers of epochs: null stands for NaN, infinity or "not measured". */
export type Numbers = (number | null)[];

/** A run of training as it went, or goes: what the learning view shows. */
export interface Learning {
  /** By column of the history ("loss", "validation_loss", "accuracy", ...), a number an epoch. */
  history: Record<string, Numbers>;
  /** The column that decides, and whether less is better. */
  criterion: string;
  better: "min" | "max";
  best: number | null;
  /** The loss before training, and that of a constant guess on the same rows. */
  start: number | null;
  guess: { loss: number | null; told: string };
  /** The recorded epochs, ascending; 0 is before training, 3.5 in the middle of the fourth. */
  epochs: number[];
  /** By layer with weights, in order. */
  layers: LayerRecord[];
  /** Parameters, optimizer slots and the step's number at each recorded epoch where the network
   * is small, by name; else empty. */
  values: Record<string, ArrayForm>[];
  /** The chosen rows of the tracked sample: their inputs are `rows` of the document. */
  regions: Regions | null;
  hidden: Hidden | null;
  confusion: { classes: string[]; counts: number[][]; rows: string } | null;
  /** Worst rows of the last epoch: their label, the truth, the answer, the loss; `row` is an index
   * into the document's rows where the page holds the row. */
  worst: { label: string; truth: string; answer: string; loss: number | null; row: number | null }[];
  /** What stopped or troubled the run, in sentences. */
  told: string[];
  /** Of a run that has ended: the epoch of the model as it is, of which are confusion, worst rows
   * and the rows that excite units. Absent: the newest. */
  latest?: number;
}

/** Five quantiles (0, 25, 50, 75, 100 %) at each recorded epoch. */
export type Quantiles = Numbers[];

export interface LayerRecord {
  name: string;
  what: string;
  units: number;
  /** Of the layer's output on the sample, the size of its gradient, and its weights; and
   * |update| / |weight| per step. */
  values: Quantiles;
  gradients: Quantiles;
  weights: Quantiles;
  updates: Numbers;
  /** The layer's arrays of weights where it has several: `weights` and `updates` are of them all. */
  groups: { name: string; weights: Quantiles; updates: Numbers }[];
  /** Units that gave the same on all rows of the sample, or lie at the ends of their activation,
   * at each recorded epoch. */
  dead: number[];
  saturated: number[];
  /** For each unit dead at the end: the recorded epoch from which on it was. */
  killed: { unit: number; epoch: number }[];
  /** The rows that excite each unit most at the last epoch: labels with values; the first units. */
  excited: { unit: number; rows: { label: string; value: number }[]; weights: { name: string; weight: number }[] }[];
}

/** For networks of two numeric columns: the answer on a grid at each recorded epoch. */
export interface Regions {
  x: { column: string; low: number; high: number };
  y: { column: string; low: number; high: number };
  /** Points along each side. */
  size: number;
  /** At each recorded epoch, row by row from the lowest y: class index, or the predicted number. */
  answers: ArrayForm[];
  /** The probability of that class, for shading; null in a regression. */
  sure: ArrayForm[] | null;
  classes: string[];
  /** Rows of the sample: x, y, class index or number, and whether held out. */
  points: [number, number, number, boolean][];
}

/** The last hidden layer on the sample at each recorded epoch, in two dimensions. */
export interface Hidden {
  layer: string;
  /** The axes: "its two units", or "the projection on its two directions of largest variance". */
  told: string;
  classes: string[];
  /** (rows, 2) at each recorded epoch, and the rows' classes or numbers. */
  points: ArrayForm[];
  truth: number[];
}

/** Two models, epochs or traces beside each other: the document is that of A. */
export interface Comparison {
  /** Of A and B. */
  names: [string, string];
  /** The sentences that matter most. */
  lead: string[];
  parts: PartForm[];
  /** B: the same rows where both read them. */
  other: InspectionDocument;
}

/** A table with sentences before it, as the text form has it. */
export interface PartForm {
  title: string;
  words: string[];
  head: string[];
  /** The columns of numbers. */
  right: number[];
  rows: string[][];
  /** For each row: which of both has it alone, whether it differs, or nothing. */
  marks: ("a" | "b" | "differs" | "")[];
  /** For each row B - A and the ends of its 95 % interval, drawn as error bars; or empty. */
  intervals: ([difference: number | null, low: number | null, high: number | null] | null)[];
}

/** The compiler's view of a training step: `Forecast.to_dict` of Python, or `Profile.to_dict`.
 * Times are seconds; what was not measured is absent. */
export interface Machine {
  processor: string;
  rows: number;
  threads: number;
  phases: number;
  predicted: number;
  measured?: number;
  /** The time that threads wait for each other. */
  waiting?: number;
  flops: number;
  bytes: number;
  memory: number;
  kernels: {
    name: string;
    /** From 1. */
    phase: number;
    /** The names of the nodes that it computes. */
    nodes: string[];
    threads: number;
    flops: number;
    bytes: number;
    predicted: number;
    measured?: number;
  }[];
  /** Nodes that are computed before the run. */
  once: string[];
}

/** The state of a design in `play`: what a user chooses. */
export interface Design {
  hidden: number[];
  activation: string;
  init: string;
  norm: string;
  dropout: number;
  optimizer: string;
  rate: number;
  decay: number;
  batch_size: number;
  seed: number;
  /** Columns that are left out. */
  ignore: string[];
}

/** One design with its run. */
export interface Lane {
  design: Design | null;
  status: "ready" | "running" | "paused" | "failed";
  /** Why it stopped, where it failed; of a run that is only looked at, what follows it. */
  message: string;
  epoch: number;
  step: number;
  /** Steps in the present epoch, of how many. */
  batch: number;
  batches: number;
  /** Of the last minibatch, before its update. */
  loss: number | null;
  learning: Learning | null;
}

/** What the server sends: everything at first, then what is new.
 *
 * A frame holds the records from the recorded epoch `record` on, and the rows of the history from
 * `row` on: lists by epoch are cut there and continued; all else is replaced.
 */
export type LiveEvent =
  | { kind: "hello"; play: boolean; table: TableForm; choices: Choices; notes: string[]; lanes: Omit<Lane, "learning">[] }
  | { kind: "document"; lane: number; document: InspectionDocument }
  | { kind: "frame"; lane: number; state: Omit<Lane, "learning">; record: number; row: number; learning: Learning }
  | { kind: "state"; lane: number; state: Omit<Lane, "learning"> }
  | { kind: "end"; message: string };

/** The table that is learned. */
export interface TableForm {
  source: string;
  rows: number;
  target: string;
  task: "classification" | "regression";
  columns: { name: string; kind: string }[];
}

/** The values that a design may have. */
export interface Choices {
  activation: string[];
  init: string[];
  norm: string[];
  optimizer: string[];
}

/** What the page sends, as JSON to `command`. */
export type Command =
  | { do: "configure"; lane: number; design: Partial<Design> }
  | { do: "start" | "pause" | "reset" | "step"; lane: number | null }
  | { do: "epoch"; lane: number | null }
  | { do: "goto"; lane: number | null; epoch: number }
  | { do: "compare"; on: boolean };
