/** The state that all parts of a page share: rows, edits, values, and the current step. */
import { decode, size, type Value } from "./arrays";
import { evaluate, isValue, type Result } from "./core/evaluate";
import { steps, type Direction, type Step } from "./core/steps";
import type { InspectionDocument } from "./document";
import { joined, withEntry } from "./core/values";

/** An entry that the user changed: of a row's input, or of what all rows share (row: null). */
export interface Edit {
  node: number;
  row: number | null;
  entry: number;
  value: number;
}

export class Session {
  readonly document: InspectionDocument;
  /** The document's rows that are shown together, as indices into `document.rows`. */
  rows = $state.raw<readonly number[]>([]);
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
  /** The view that is open, by the name of its tab. */
  view = $state("steps");
  /** What the graph view has folded: its own text, kept in the address. */
  fold = $state("");
  /** Nodes whose numbers are hidden for "Check me", by `hiding`. */
  hidden = $state.raw<ReadonlySet<number>>(new Set());

  readonly #index: ReadonlyMap<string, number>;
  readonly #shared: ReadonlyMap<number, Value>;
  #timer: ReturnType<typeof setTimeout> | undefined;

  #before = $derived.by(() => this.#given(new Map()));
  #given_now = $derived.by(() => (this.edits.size ? this.#given(this.edits) : this.#before));
  /** The results before any edit, by node index. */
  originals: Result[] = $derived.by(() => this.#computed(this.#before));
  /** The results by node index. */
  values: Result[] = $derived.by(() =>
    this.#given_now === this.#before ? this.originals : this.#computed(this.#given_now),
  );
  steps: Step[] = $derived.by(() => steps(this.document.graph, this.values));
  step: Step | null = $derived(this.steps[this.at] ?? null);
  editedNodes: ReadonlySet<number> = $derived.by(
    () => new Set([...this.edits.values()].filter((e) => this.#shows(e)).map((e) => e.node)),
  );
  #moved = $derived.by(() => this.values.map((now, k) => !same(now, this.originals[k]!)));

  constructor(document: InspectionDocument) {
    this.document = document;
    this.rows = document.batch.length ? [...document.batch] : document.rows.length ? [0] : [];
    const { nodes, values, given } = document.graph;
    this.#index = new Map(nodes.map((x, k) => [x.name, k]));
    this.#shared = new Map(
      Object.entries({ ...values, ...given }).flatMap(([name, form]) => {
        const k = this.#index.get(name);
        return k === undefined ? [] : [[k, decode(form)] as const];
      }),
    );
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
    const place = this.place(node, entry);
    const key = `${place.row ?? ""}:${node}:${place.entry}`;
    const edits = new Map(this.edits);
    const before = this.#before.get(node);
    if (before && Object.is(Number(withEntry(before, entry, value).data[entry]), Number(before.data[entry])))
      edits.delete(key);
    else edits.set(key, { node, ...place, value });
    this.edits = edits;
  }

  /** Takes back the edits of a node, or of one entry of it, or all. */
  reset(node?: number, entry?: number): void {
    if (node === undefined) this.edits = new Map();
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
    return form !== undefined && form.kind !== "operation" && form.part !== "update"
      && this.#given_now.has(node);
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

  /** Goes to the step of a node: in the same direction if there is one. */
  select(node: number | null, direction: Direction | undefined = this.step?.direction): void {
    this.selected = node;
    if (node === null) return;
    const found = this.steps.findIndex((s) => s.node === node && s.direction === direction);
    const other = found >= 0 ? found : this.steps.findIndex((s) => s.node === node);
    if (other >= 0) this.at = other;
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

  #batched(node: number): boolean {
    const form = this.document.graph.nodes[node];
    return form?.kind === "input" && form.shape[0] === "N";
  }

  #shows(edit: Edit): boolean {
    return edit.row === null || this.rows.includes(edit.row);
  }

  /** The arrays of inputs and parameters, edits applied. */
  #given(edits: ReadonlyMap<string, Edit>): ReadonlyMap<number, Value> {
    const given = new Map(this.#shared);
    this.document.graph.nodes.forEach((node, k) => {
      if (!this.#batched(k)) return;
      const arrays = this.rows.flatMap((r) => this.document.rows[r]?.feeds[node.name] ?? []);
      if (arrays.length) given.set(k, joined(arrays.map(decode)));
    });
    for (const e of edits.values()) {
      const value = given.get(e.node);
      const at = e.row === null ? 0 : this.rows.indexOf(e.row);
      if (!value || at < 0) continue;
      const each = e.row === null ? 0 : value.data.length / this.rows.length;
      given.set(e.node, withEntry(value, at * each + e.entry, e.value));
    }
    return given;
  }

  #computed(given: ReadonlyMap<number, Value>): Result[] {
    return evaluate(this.document.graph, given, this.rows.length);
  }
}

/** Whether two results have the same bits, NaN being equal to itself. */
function same(a: Result, b: Result): boolean {
  if (a === b) return true;
  if (!isValue(a) || !isValue(b)) return !isValue(a) && !isValue(b);
  return a.data.length === b.data.length && a.data.every((x: number | bigint, k: number) => Object.is(x, b.data[k]));
}
