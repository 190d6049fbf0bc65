/** The state that all parts of a page share: rows, edits, values, and the current step. */
import { decode, size, type Value } from "./arrays";
import { evaluate, givenOf, isValue, reevaluate, type Result } from "./core/evaluate";
import { steps, type Step } from "./core/steps";
import { updateSteps } from "./core/updates";
import { rounded, same, withEntry } from "./core/values";
import type { ArrayForm, InspectionDocument } from "./document";
import { Pictures } from "./parts/images";
import { Labels } from "./parts/labels";
import type { Comparison } from "./sections";

/** An entry that the user changed: of a row's input, or of what all rows share (row: null). */
export interface Edit {
  node: number;
  row: number | null;
  entry: number;
  value: number;
}

export type Direction = Step["direction"];

export class Session {
  readonly document: InspectionDocument;
  /** Names of entries: rows, columns, classes. */
  readonly labels: Labels;
  readonly pictures: Pictures;
  /** The document's rows that are shown together, as indices into `document.rows`. */
  rows = $state.raw<readonly number[]>([]);
  /** The cells of the table that the user typed, by `row:column`. */
  cells = $state.raw<ReadonlyMap<string, string>>(new Map());
  /** What the user changed, by `row:node:entry`. */
  edits = $state.raw<ReadonlyMap<string, Edit>>(new Map());
  /** Nodes by index: the one that is looked at, and the one under the pointer. */
  selected = $state<number | null>(null);
  hovered = $state<number | null>(null);
  /** The index of the current step; -1 before the first. */
  at = $state(-1);
  playing = $state(false);
  /** Steps a second while playing. */
  speed = $state(1);
  /** The view that the page begins with. */
  readonly first: string;
  /** The view that is open, by the name of its tab. */
  view = $state("steps");
  /** The session of B, where the page is of two: its rows are those of this one. */
  readonly other: Session | null;
  /** Whether the views of one network show that of B. */
  second = $state(false);
  /** What the graph view has folded: its own text, kept in the address. */
  fold = $state("");
  /** Nodes whose numbers are hidden for "Check me", by `hiding`. */
  hidden = $state.raw<ReadonlySet<number>>(new Set());

  /** The recorded epoch that is looked at; null: the model as it is. */
  epoch = $state<number | null>(null);
  /** Parameters that stand in the place of the document's: those of another epoch, by name. */
  weights = $state.raw<Readonly<Record<string, ArrayForm>>>({});
  /** Whether the document has the structure of a graph alone: no rows and no numbers. */
  readonly structure: boolean;

  readonly #index: ReadonlyMap<string, number>;
  /** The columns that inputs are made of, by `node:entry`, or `node:` of all its entries. */
  readonly #columns: ReadonlyMap<string, string>;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** The arrays of inputs and parameters without the edits. */
  readonly given: ReadonlyMap<number, Value> = $derived.by(() => this.#given());
  /** The results before any edit, by node index. */
  readonly originals: readonly Result[] = $derived.by(() =>
    evaluate(this.document.graph, this.given, this.rows.length),
  );
  /** The arrays that edits change. */
  readonly changes: ReadonlyMap<number, Value> = $derived.by(() => this.#changes());
  /** The results by node index. */
  readonly values: readonly Result[] = $derived.by(() =>
    this.changes.size
      ? reevaluate(this.document.graph, this.originals, this.changes, this.rows.length)
      : this.originals,
  );
  readonly steps: readonly Step[] = $derived.by(() => this.structure ? [] : [
    ...steps(this.document.graph, this.values), ...updateSteps(this.document.graph, this.values),
  ]);
  readonly step: Step | null = $derived(this.steps[this.at] ?? null);
  /** The number of edits; all that one cell of the table becomes is one. */
  readonly editCount: number = $derived.by(() => new Set(
    [...this.edits].map(([key, e]) => {
      const column = this.#columns.get(`${e.node}:${e.entry}`) ?? this.#columns.get(`${e.node}:`);
      return column === undefined ? key : `${e.row}/${column}`;
    }),
  ).size);
  readonly editedNodes: ReadonlySet<number> = $derived.by(() => new Set(this.changes.keys()));
  #moved = $derived.by(() => this.values.map((now, k) => !same(now, this.originals[k]!)));

  constructor(document: InspectionDocument) {
    this.document = document;
    this.structure = !document.rows.length && !Object.keys(document.graph.values).length;
    this.labels = new Labels(document);
    this.pictures = new Pictures(document.graph);
    const both = document.comparison as Comparison | undefined;
    this.other = both ? new Session(both.other) : null;
    this.view = this.first = both ? "compare" : "steps";
    this.rows = document.batch.length ? [...document.batch] : document.rows.length ? [0] : [];
    this.#index = new Map(document.graph.nodes.map((x, k) => [x.name, k]));
    this.#columns = new Map(document.encoders.flatMap((e) =>
      e.parts.map((p) => [`${this.#index.get(p.input)}:${p.position ?? ""}`, e.column]),
    ));
  }

  /** The session that the views of one network show. */
  get shown(): Session {
    return this.second && this.other !== null && this.view !== "compare" ? this.other : this;
  }

  /** Gives B the rows of A: all where A has all, else those that it has, too. */
  follow(): void {
    if (!this.other) return;
    const all = this.other.document.rows.map((_, k) => k);
    const same = all.filter((k) => this.rows.includes(k));
    this.other.rows = this.rows.length === this.document.rows.length || !same.length ? all : same;
  }

  /** The index of the node of a name. */
  find(name: string): number | undefined {
    return this.#index.get(name);
  }

  /** The current position of the input or parameter in the batch: which row an entry is of. */
  place(node: number, entry: number): { row: number | null; entry: number } {
    if (!this.#batched(node)) return { row: null, entry };
    const form = this.document.graph.nodes[node]!;
    const each = size(form.shape.filter((d) => d !== "N"));
    return { row: this.rows[Math.floor(entry / each)] ?? null, entry: entry % each };
  }

  /** Changes an entry, by its flat index in the node's value, of an input or parameter. */
  edit(node: number, entry: number, value: number): void {
    this.editAll([{ node, entry, value }]);
  }

  /** Changes several entries at once. */
  editAll(changes: readonly { node: number; entry: number; value: number }[]): void {
    const edits = new Map(this.edits);
    for (const { node, entry, value } of changes) {
      const place = this.place(node, entry);
      const key = `${place.row ?? ""}:${node}:${place.entry}`;
      const before = this.given.get(node);
      if (before && Object.is(rounded(value, before.dtype), Number(before.data[entry]))) edits.delete(key);
      else edits.set(key, { node, ...place, value });
    }
    this.edits = edits;
  }

  /** Takes back the edits of a node, or of one entry of it, or all. */
  reset(node?: number, entry?: number): void {
    if (node === undefined) {
      this.edits = new Map();
      this.cells = new Map();
    }
    else {
      const place = entry === undefined ? null : this.place(node, entry);
      this.edits = new Map([...this.edits].filter(([, e]) =>
        e.node !== node || (place && (e.row !== place.row || e.entry !== place.entry)),
      ));
    }
  }

  /** The edit of an entry of a node's value, if there is one. */
  edited(node: number, entry: number): Edit | undefined {
    const place = this.place(node, entry);
    return this.edits.get(`${place.row ?? ""}:${node}:${place.entry}`);
  }

  /** The number that an entry had before the edits. */
  was(node: number, entry: number): number | undefined {
    const before = this.originals[node];
    return isValue(before) ? Number(before.data[entry]) : undefined;
  }

  /** Whether a node's value differs from that before the edits. */
  changed(node: number): boolean {
    return this.#moved[node] ?? false;
  }

  /** Whether entries of a node can be edited. */
  editable(node: number): boolean {
    const form = this.document.graph.nodes[node];
    return form !== undefined && form.kind !== "operation" && this.given.has(node)
      && form.name !== "step.key";
  }

  next(): void {
    this.goto(this.at + 1);
  }

  previous(): void {
    this.goto(this.at - 1);
  }

  /** Goes to a step, and selects its node. */
  goto(at: number): void {
    this.at = Math.max(-1, Math.min(at, this.steps.length - 1));
    this.selected = this.step?.node ?? this.selected;
  }

  /** Looks at a node: at its step in the current direction, if it has one. */
  select(node: number | null): void {
    this.selected = node;
    if (node === null) return;
    const direction = this.step?.direction ?? "forward";
    const found = this.steps.findIndex((s) => s.node === node && s.direction === direction);
    if (found >= 0) this.at = found;
  }

  play(): void {
    if (this.at >= this.steps.length - 1) this.goto(-1);
    this.playing = true;
    this.#tick();
  }

  pause(): void {
    this.playing = false;
    clearTimeout(this.#timer);
  }

  #tick(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (!this.playing) return;
      this.next();
      if (this.at >= this.steps.length - 1) this.playing = false;
      else this.#tick();
    }, 1000 / this.speed);
  }

  #given(): ReadonlyMap<number, Value> {
    const given = givenOf(this.document, this.rows);
    for (const [name, form] of Object.entries(this.weights)) {
      const node = this.#index.get(name);
      if (node !== undefined && given.has(node)) given.set(node, decode(form));
    }
    return given;
  }

  #batched(node: number): boolean {
    const form = this.document.graph.nodes[node];
    return form?.kind === "input" && form.shape[0] === "N";
  }

  #changes(): ReadonlyMap<number, Value> {
    const changes = new Map<number, Value>();
    for (const e of this.edits.values()) {
      const value = changes.get(e.node) ?? this.given.get(e.node);
      const at = e.row === null ? 0 : this.rows.indexOf(e.row);
      if (!value || at < 0) continue;
      const each = e.row === null ? 0 : value.data.length / this.rows.length;
      const entry = at * each + e.entry;
      if (entry < value.data.length) changes.set(e.node, withEntry(value, entry, e.value));
    }
    return changes;
  }
}
