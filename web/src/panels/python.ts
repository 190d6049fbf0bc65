/** The Python that gives what a step shows, the edits included. */
import type { Edit, Session } from "../session.svelte";
import { unravel } from "../parts/numbers";
import { size } from "../arrays";
import { isValue } from "../core/evaluate";
import type { GraphForm } from "../document";
import { repr } from "../core/pythontext";
import type { Direction } from "../session.svelte";

/** A text as a Python literal; marks that hide or turn text are escaped. */
export function quoted(text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** A node's name as a Python literal, in full. */
function nameOf(graph: GraphForm, node: number): string {
  let { name } = graph.nodes[node]!;
  for (const [cut, whole] of Object.entries(graph.long ?? {})) name = name.replaceAll(cut, () => whole);
  return quoted(name);
}

/** The lines for a node's value, gradient or new value, as the page shows it. */
export function python(session: Session, node: number, direction: Direction): string {
  const { graph } = session.document;
  const lines = start(session);
  const edits = [...session.edits.values()].filter((e) => e.row === null || session.rows.includes(e.row));
  const trace = edits.length ? "edited" : "trace";
  if (edits.length) lines.push(...edited(session, edits));
  const loss = graph.loss === null ? null : nameOf(graph, graph.loss);
  const fresh = edits.length > 0 || lines.length > 0;
  const written = graph.nodes[node]!.kind === "parameter";
  if (direction === "update" && written && !fresh) return `trace.updated(${nameOf(graph, node)})`;
  if (direction !== "forward" && fresh && loss !== null) lines.push(`${trace}.backward(${loss})`);
  // a slot of the optimizer has no gradient: that of its parameter is what it is made of
  const of = graph.updates.find((u) => u.parameter === node)?.of ?? node;
  const shown = direction === "update" && written ? of : node;
  if (direction === "update" && fresh)
    lines.push("# the update is made of this gradient; model.trace_step(rows) shows that of training");
  const sloped = direction !== "forward" && graph.gradients.some((g) => g.node === shown);
  lines.push(`${trace}.${sloped ? "gradient" : "value"}(${nameOf(graph, shown)})`);
  return lines.join("\n");
}

/** The lines that make the trace, for the rows that are shown. */
function start(session: Session): string[] {
  const { python, rows } = session.document;
  if (python === "trace") return [];
  const taken = python.replace(/take\(\[([\d, ]*)\]\)/, (whole, list: string) => {
    const all = list.split(",").map((x) => x.trim());
    return all.length === rows.length ? `take([${session.rows.map((k) => all[k]).join(", ")}])` : whole;
  });
  return [`trace = ${taken}`];
}

/** The lines that run the graph again with the edits. */
function edited(session: Session, edits: readonly Edit[]): string[] {
  const { graph } = session.document;
  const shared = edits.some((e) => isStep(session, e));
  return [
    "import chainrule as cr",
    "g = trace.graph",
    'feeds = {g.name(x): trace.value(x).copy() for x in g.inputs if not g.name(x).startswith("step.")}',
    "values = {g.name(x): trace.value(x).copy() for x in g.parameters}",
    ...edits.filter((e) => !isStep(session, e)).map((e) => assignment(session, e)),
    ...(shared ? ["# the edited inputs of the step, such as its rate, are settings of the optimizer"] : []),
    `edited = cr.run(g.outputs, feeds, values=values, ${graph.training ? "training=True, " : ""}like=g)`,
  ];
}

function isStep(session: Session, edit: Edit): boolean {
  return session.document.graph.nodes[edit.node]!.name.startsWith("step.");
}

function assignment(session: Session, edit: Edit): string {
  const form = session.document.graph.nodes[edit.node]!;
  const value = session.given.get(edit.node);
  const shape = isValue(value) ? value.shape : [];
  const at = edit.row === null ? edit.entry
    : session.rows.indexOf(edit.row) * size(shape.slice(1)) + edit.entry;
  const index = unravel(at, shape).join(", ");
  const holder = `${form.kind === "parameter" ? "values" : "feeds"}[${nameOf(session.document.graph, edit.node)}]`;
  const text = literal(edit.value, form.dtype.startsWith("float"));
  return `${holder}${shape.length ? `[${index}]` : ""} = ${text}`;
}

function literal(x: number, float: boolean): string {
  if (!float) return String(x);
  return Number.isFinite(x) ? repr(x) : `float("${Number.isNaN(x) ? "nan" : x > 0 ? "inf" : "-inf"}")`;
}
