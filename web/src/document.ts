/** The document that a page shows: one graph with its rows, and what else was asked for.
 *
 * Python writes it (`chainrule.inspector.document`), a page holds it as JSON. It carries the graph of
 * the complete step, forward, backward and update, so that the page computes every number itself.
 */

/** An array: little-endian bytes in base64, C order. Booleans are a byte each. */
export interface ArrayForm {
  dtype: DType;
  shape: number[];
  data: string;
}

export type DType =
  | "float32" | "float64" | "bool"
  | "int8" | "int16" | "int32" | "int64" | "uint8" | "uint16" | "uint32" | "uint64";

/** A dimension: the batch axis is "N". */
export type Dim = number | "N";

/** The value of an attribute.
 *
 * A float that JSON would make an integer, or lacks, is its text in Python: `{float: "2.0"}`,
 * `{float: "inf"}`; an integer beyond 2^53, which JavaScript would round, is `{integer: "..."}`.
 */
export type Attribute =
  | null | boolean | number | string | Attribute[]
  | { float: string } | { integer: string } | { array: ArrayForm };

/** A node. It stands after its operands, which are indices into `nodes`. */
export interface NodeForm {
  name: string;
  kind: "input" | "parameter" | "operation";
  /** The pass that computes it. */
  part: "forward" | "backward" | "update";
  shape: Dim[];
  dtype: DType;
  /** The names of axes, where some have one. */
  axes?: (string | null)[];
  /** The user's line that made it: "net.py:12", or empty. */
  source: string;
  op?: string;
  operands?: number[];
  attributes?: Record<string, Attribute>;
  /** For random ops: the id of the stream, made from the node's name, as a decimal number. */
  stream?: string;
  trainable?: boolean;
  /** A call that failed: it made no node, and has neither type nor value. */
  unbuilt?: boolean;
}

/** The sizes of a node's axes, with their names: "N, height=28, 3". */
export function sizesText(form: NodeForm): string {
  return form.shape.map((size, k) => (form.axes?.[k] ? `${form.axes[k]}=${size}` : size)).join(", ");
}

/** A layer: nodes that a user calls by one name. Every forward node is in one. */
export interface LayerForm {
  name: string;
  /** Such as "dense, relu". */
  what: string;
  nodes: number[];
  /** The number of entries of its parameters. */
  parameters: number;
}

/** A block of layers, shown as one: columns, encoders, hidden, output, loss. */
export interface BlockForm {
  name: string;
  what: string;
  /** Indices into `layers`. */
  layers: number[];
}

/** An op that the graph uses. */
export interface OpForm {
  kind: "map" | "reduce" | "contract" | "view" | "index" | "random";
  /** How to write it: `{0}` is the first operand, `{axis}` an attribute. */
  formula: string;
  /** What holds at kinks, ties and for NaN, in one sentence. */
  convention: string;
}

/** The gradient of the loss at a node, and its terms: what each consumer sends. */
export interface GradientForm {
  node: number;
  gradient: number;
  terms: { consumer: number; position: number; gradient: number }[];
}

/** The update of a parameter or an optimizer's slot. */
export interface UpdateForm {
  parameter: number;
  /** The node of its new value. */
  new: number;
  /** The parameter that a slot belongs to; null for a parameter itself and tracked statistics. */
  of: number | null;
}

/** An example: its arrays by input name, without the batch axis, and how the table writes it. */
export interface RowForm {
  /** Such as "row 17". */
  label: string;
  /** Why it was chosen: "typical", "worst", "on the border"; or empty. */
  why: string;
  feeds: Record<string, ArrayForm>;
  /** The table's cells, where the model was trained on a table. */
  cells: CellForm[];
}

/** A cell of the table, as the file writes it; null where it is a gap. */
export interface CellForm {
  column: string;
  raw: string | null;
}

/** What an encoder does with a column. */
export interface EncoderForm {
  column: string;
  /** "number", "category", ... */
  kind: string;
  /** In words: "standardised: (x - 43.9) / 5.46; a gap becomes 43.9". */
  told: string;
  /** The levels of a category, in the order of their codes; empty for others. */
  levels: string[];
  /** The number of gaps in the training data. */
  gaps: number;
  /** How its cells are read; null: by code that the page does not have. */
  reading: ReadingForm | null;
  parts: PartForm[];
}

/** How a cell becomes numbers; `gaps` are the texts that say that there is no value. */
export type ReadingForm = { gaps: string[] } & (
  | { kind: "number"; decimal: "." | ","; unit: string }
  /** Words in lower case. */
  | { kind: "boolean"; false: string[]; true: string[] }
  /** The formats of a day, tried in order, as strptime has them or "iso"; the names of its parts. */
  | { kind: "date"; forms: string[]; words: string; parts: string[] }
  /** The words of names are counted where there are some. */
  | ({ kind: "category"; by_number: boolean } & BagForm)
  | ({ kind: "text" } & BagForm)
);

/** The words that are counted, in the order of their features, and the weight of each. */
export interface BagForm {
  words: string[];
  weights: number[];
}

/** A number that an encoder makes of a cell: where it enters the graph, and what it becomes. */
export interface PartForm {
  /** Such as the column's name, or "year" of a date. */
  name: string;
  /** The input that receives it, and its place in that input's array; null: the whole array. */
  input: string;
  position: number | null;
  /** The nodes computed from the data alone that the network reads, and their entries that
   * depend on this part. */
  seen: { node: number; entries: number[] }[];
}

/** The target of a table. */
export interface TargetForm {
  column: string;
  input: string;
  task: "classification" | "regression";
  /** The classes in the order of their indices; empty for numbers. */
  classes: string[];
  /** How its cells are read, where it is a number. */
  reading: ReadingForm | null;
  /** The answer of the model: its outputs are probabilities or numbers. */
  output: number;
}

/** The steps of the update in order, as in Python, and the names that their formulas use. */
export interface UpdatingForm {
  /** By the node's index as text. */
  names: Record<string, string>;
  steps: UpdateStepForm[];
}

export interface UpdateStepForm {
  node: number;
  title: string;
  /** The parameter or slot whose new value it is; null for a part of new values, such as a norm. */
  parameter: number | null;
  /** The title of the gradient that a new value is made of, by its node. */
  own: Record<string, string>;
  /** Whether it was computed before the update, and is not written out again. */
  known: boolean;
}

export interface GraphForm {
  nodes: NodeForm[];
  ops: Record<string, OpForm>;
  layers: LayerForm[];
  blocks: BlockForm[];
  /** The outputs of the forward pass, the loss included where there is one. */
  outputs: number[];
  loss: number | null;
  /** In the order in which they are computed: the loss first. */
  gradients: GradientForm[];
  updates: UpdateForm[];
  updating: UpdatingForm;
  /** The values of parameters and optimizer slots, by name; empty where the graph is its
   * structure alone. */
  values: Record<string, ArrayForm>;
  /** Inputs without rows, by name: those of every step (key, rate, step number) and others. */
  given: Record<string, ArrayForm>;
  training: boolean;
  /** Such as "Adam(rate=0.001)". */
  optimizer: string | null;
  /** Where building failed: the culprit's index and the message. */
  failure: { node: number | null; message: string } | null;
  /** Long names in full, by what stands for each wherever it is shown. */
  long?: Record<string, string>;
}

export interface InspectionDocument {
  format: "chainrule-inspector";
  version: 1;
  title: string;
  /** Such as "chainrule 0.5.0". */
  made: string;
  /** What the file holds of the user's data, in words, for the page's footer. */
  holds: string;
  /** What was left out, guessed or cut, in sentences. */
  notes: string[];
  /** The expression that gives the model or trace in Python, for "Copy as Python". */
  python: string;
  graph: GraphForm;
  rows: RowForm[];
  /** The rows shown together at first: indices into `rows`. */
  batch: number[];
  encoders: EncoderForm[];
  target: TargetForm | null;
  /** Sections of other views, each with a type of its own; see `sections.ts`. */
  learning?: unknown;
  comparison?: unknown;
  machine?: unknown;
}
