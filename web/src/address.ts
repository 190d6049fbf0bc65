/** The state of a page in its address, so that a link or a reload brings it back. */
import type { Learning } from "./sections";
import type { Edit, Session } from "./session.svelte";

/** Brings back what the address holds; what does not fit the document is left out. */
export function restore(session: Session): void {
  const held = new URLSearchParams(location.hash.slice(1));
  const { rows, graph } = session.document;
  const wanted = (held.get("rows") ?? "").split(",").filter(Boolean).map(Number).filter((k) => rows[k]);
  if (wanted.length) session.rows = [...new Set(wanted)];
  const edits = (held.get("edits") ?? "").split(";").filter(Boolean).flatMap((text): [string, Edit][] => {
    const parts = /^(\d*)\.(\d+)\.(\d+)=(.+)$/.exec(text);
    const node = Number(parts?.[2]), value = Number(parts?.[4]);
    if (!parts || !graph.nodes[node] || (Number.isNaN(value) && parts[4] !== "NaN")) return [];
    const row = parts[1] === "" ? null : Number(parts[1]);
    if (row !== null && !rows[row]) return [];
    return [[`${row ?? ""}:${node}:${parts[3]}`, { node, row, entry: Number(parts[3]), value }]];
  });
  session.edits = new Map(edits);
  session.fold = held.get("fold") ?? "";
  session.view = held.get("view") ?? session.first;
  const epoch = Number(held.get("epoch") ?? NaN);
  session.epoch = (session.document.learning as Learning | undefined)?.epochs.includes(epoch) ? epoch : null;
  const at = Number(held.get("at") ?? -1);
  if (Number.isInteger(at)) session.goto(at);
}

/** The address's text for a state. */
export function written(session: Session): string {
  const held = new URLSearchParams();
  if (session.view !== session.first) held.set("view", session.view);
  if (session.rows.join() !== session.document.batch.join()) held.set("rows", session.rows.join());
  if (session.at >= 0) held.set("at", String(session.at));
  const edits = [...session.edits.values()];
  if (edits.length)
    held.set("edits", edits.map((e) => `${e.row ?? ""}.${e.node}.${e.entry}=${e.value}`).join(";"));
  if (session.epoch !== null) held.set("epoch", String(session.epoch));
  if (session.fold) held.set("fold", session.fold);
  return held.toString();
}

const PAUSE = 200; // ms: browsers allow so many changes of an address in a time
let last = 0;

/** Writes the state to the address, at once or soon, however many changes follow; where a frame
 * has no address, nowhere. */
export function keep(session: Session): () => void {
  const text = written(session);
  const timer = setTimeout(() => {
    if (location.hash.slice(1) === text) return;
    last = performance.now();
    try {
      history.replaceState(history.state, "", `#${text}`);
    } catch (error) {
      if (!(error instanceof DOMException)) throw error;
    }
  }, Math.max(0, last + PAUSE - performance.now()));
  return () => clearTimeout(timer);
}
