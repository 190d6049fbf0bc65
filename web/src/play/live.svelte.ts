/** The live page's state: the connection to the server, and the lanes that it tells of. */
import type { ArrayForm } from "../document";
import { merged } from "../learning/merge";
import { allEpochs, recordAt } from "../learning/records";
import type { Choices, Command, Design, Lane, Learning, LiveEvent, TableForm } from "../sections";
import { Session } from "../session.svelte";
import { same } from "./designs";

export type LaneState = Omit<Lane, "learning">;

/** A design as the page knows it. */
export class Run {
  state = $state.raw<LaneState>() as LaneState;
  learning = $state.raw<Learning | null>(null);
  session = $state.raw<Session | null>(null);

  constructor(state: LaneState) {
    this.state = state;
  }
}

/** What hands events on in a page of others, such as a notebook. */
export interface Channel {
  /** Gives all events so far, and those to come. Returns what ends it. */
  listen(take: (event: LiveEvent) => void): () => void;
}

export class Live {
  /** "open", "lost": it is tried again, or "ended": for good. */
  connection = $state<"connecting" | "open" | "lost" | "ended">("connecting");
  /** How the run ended. */
  message = $state("");
  play = $state(false);
  table = $state.raw<TableForm | null>(null);
  choices = $state.raw<Choices | null>(null);
  notes = $state.raw<readonly string[]>([]);
  runs = $state.raw<readonly Run[]>([]);
  /** The epoch that is looked at; null follows the run. */
  chosen = $state<number | null>(null);
  readonly epochs: readonly number[] = $derived.by(() => allEpochs(this.runs.map((r) => r.learning)));
  /** The last of them, or the one that is looked at. */
  readonly epoch: number = $derived.by(() => this.chosen ?? this.epochs.at(-1) ?? 0);
  readonly running: boolean = $derived.by(() => this.runs.some((r) => r.state.status === "running"));

  readonly #address: string | Channel;
  #leave: (() => void) | null = null;
  #source: EventSource | null = null;
  #waiting: LiveEvent[] = [];
  #scheduled = false;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #pause = 500;
  /** Called once, when it is known what there is. */
  #begun: (() => void) | null;

  constructor(address: string | Channel, begun: () => void) {
    this.#address = address;
    this.#begun = begun;
  }

  /** The epoch of each run that is shown; null for runs that go on and are followed. */
  get shown(): (number | null)[] {
    if (this.running && this.chosen === null) return this.runs.map(() => null);
    return this.runs.map((run) => Math.floor(run.learning?.epochs[this.at(run)] ?? 0));
  }

  /** Shows an epoch of a run: looks at it where it is recorded, else trains up to it.
   *
   * @param anew whether the run has only begun. Returns why it was refused, or null.
   */
  async arrive(lane: number, epoch: number, anew: boolean): Promise<string | null> {
    const run = this.runs[lane];
    if (anew && epoch === 0) return null;
    if (!anew && run && epoch <= run.state.epoch) {
      if (run.state.status === "running" || run.learning?.epochs.includes(epoch)) {
        this.chosen = epoch === run.learning?.epochs.at(-1) ? this.chosen : epoch;
        return null;
      }
    }
    return this.command({ do: "goto", lane, epoch });
  }

  /** Which record of a run is shown. */
  at(run: Run): number {
    return run.learning ? recordAt(run.learning.epochs, this.chosen) : -1;
  }

  connect(): void {
    this.#source?.close();
    if (typeof this.#address !== "string") {
      this.connection = "open";
      this.#leave = this.#address.listen((event) => this.#take(event));
      return;
    }
    const source = new EventSource(this.#address);
    this.#source = source;
    source.onopen = () => {
      this.connection = "open";
      this.#pause = 500;
    };
    source.onmessage = (event: MessageEvent<string>) => this.#take(JSON.parse(event.data) as LiveEvent);
    source.onerror = () => {
      if (this.connection === "ended") return;
      this.connection = "lost";
      source.close();
      clearTimeout(this.#retry);
      this.#retry = setTimeout(() => this.connect(), this.#pause);
      this.#pause = Math.min(2 * this.#pause, 5000);
    };
  }

  close(): void {
    clearTimeout(this.#retry);
    this.#source?.close();
    this.#leave?.();
  }

  /** Sends a command. Returns why it was refused, or null. */
  async command(command: Command): Promise<string | null> {
    try {
      const answer = await fetch("command", {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(command),
      });
      if (answer.ok) return null;
      const text = await answer.text();
      try {
        return (JSON.parse(text) as { error: string }).error;
      } catch {
        return text || `the server answered ${answer.status}`;
      }
    } catch {
      return "the server does not answer: is `chainrule play` still running?";
    }
  }

  /** A run as a program or configuration. Raises an Error with the reason. */
  async export(lane: number, form: "python" | "toml" | "json"): Promise<string> {
    const answer = await fetch(`export?lane=${lane}&form=${form}`);
    const text = await answer.text();
    if (!answer.ok) throw new Error(answer.status === 422 ? (JSON.parse(text) as { error: string }).error : text);
    return text;
  }

  // ---------------------------------------------------------------- events

  /** Keeps an event until the next frame of the screen; a hidden page has none. */
  #take(event: LiveEvent): void {
    this.#waiting.push(event);
    if (this.#scheduled) return;
    this.#scheduled = true;
    if (document.visibilityState === "visible") requestAnimationFrame(() => this.#flush());
    else setTimeout(() => this.#flush(), 250);
  }

  #flush(): void {
    this.#scheduled = false;
    const events = this.#waiting;
    this.#waiting = [];
    for (const event of events) this.apply(event);
    const told = this.runs.every((r) => !this.play || r.learning !== null || r.state.status === "failed");
    if (this.#begun && this.runs.length && told) {
      this.#begun();
      this.#begun = null;
    }
  }

  /** Takes an event in. */
  apply(event: LiveEvent): void {
    if (event.kind === "end") {
      this.connection = "ended";
      this.message = event.message;
      this.#source?.close();
      return;
    }
    if (event.kind === "hello") {
      this.play = event.play;
      this.table = event.table;
      this.choices = event.choices;
      this.notes = event.notes;
      this.runs = event.lanes.map((state, k) => this.#known(k, state));
      return;
    }
    const run = this.runs[event.lane];
    if (!run) return;
    if (event.kind === "document") {
      run.session = resumed(event.document, run.session);
      return;
    }
    this.#stale(run, event.state);
    run.state = event.state;
    if (event.kind === "frame") run.learning = merged(run.learning, event);
  }

  /** The run of a lane, with what is known of it. */
  #known(lane: number, state: LaneState): Run {
    const run = this.runs[lane] ?? new Run(state);
    this.#stale(run, state);
    run.state = state;
    return run;
  }

  /** Forgets what was learned by a design that is replaced. */
  #stale(run: Run, state: LaneState): void {
    const replaced = state.design !== null && !same(state.design, run.state.design as Design);
    if (replaced && state.status === "failed") {
      run.learning = null;
      run.session = null;
    }
    if (replaced || state.epoch < run.state.epoch) this.chosen = null;
  }
}

/** The session of a network that takes the place of another: what is open stays open. */
function resumed(document: ConstructorParameters<typeof Session>[0], before: Session | null): Session {
  const session = new Session(document);
  if (!before) return session;
  session.view = before.view;
  const rows = before.rows.filter((k) => document.rows[k]);
  if (rows.length) session.rows = rows;
  const alike = before.document.graph.nodes.length === document.graph.nodes.length;
  if (alike) {
    session.fold = before.fold;
    session.goto(before.at);
  } else if (/^\w+$/.test(before.fold) && !before.fold.startsWith("n")) session.fold = before.fold;
  return session;
}

/** Parameters by name that a session takes on. */
export type Weights = Record<string, ArrayForm>;
