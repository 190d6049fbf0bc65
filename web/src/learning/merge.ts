/** Puts the frames of a run together: lists by epoch are cut where a frame begins, and continued. */
import type { LayerRecord, Learning, Numbers } from "../sections";

/** What was learned so far, with a frame.
 *
 * @param record the index among the recorded epochs at which the frame begins.
 * @param row the row of the history at which it begins.
 */
export function merged(
  before: Learning | null, frame: { record: number; row: number; learning: Learning },
): Learning {
  const { record, row, learning } = frame;
  if (before === null || (record === 0 && row === 0)) return learning;
  const has = { records: before.epochs.length, rows: length(before.history) };
  if (record > has.records || row > has.rows) return before; // the frame that fills the gap is on its way
  const on = <T>(old: readonly T[], more: readonly T[]): T[] => [...old.slice(0, record), ...more];
  const history: Record<string, Numbers> = {};
  for (const [name, more] of Object.entries(learning.history)) {
    const old = before.history[name] ?? new Array<null>(row).fill(null);
    history[name] = [...old.slice(0, row), ...more];
  }
  return {
    ...learning,
    history,
    epochs: on(before.epochs, learning.epochs),
    layers: learning.layers.map((layer, k) => continued(before.layers[k], layer, on)),
    values: on(before.values, learning.values),
    regions: learning.regions && {
      ...learning.regions,
      answers: on(before.regions?.answers ?? [], learning.regions.answers),
      sure: learning.regions.sure && on(before.regions?.sure ?? [], learning.regions.sure),
    },
    hidden: learning.hidden && {
      ...learning.hidden, points: on(before.hidden?.points ?? [], learning.hidden.points),
    },
  };
}

function length(history: Record<string, Numbers>): number {
  return Math.max(0, ...Object.values(history).map((x) => x.length));
}

function continued(
  before: LayerRecord | undefined, layer: LayerRecord,
  on: <T>(old: readonly T[], more: readonly T[]) => T[],
): LayerRecord {
  if (!before) return layer;
  return {
    ...layer,
    values: on(before.values, layer.values),
    gradients: on(before.gradients, layer.gradients),
    weights: on(before.weights, layer.weights),
    updates: on(before.updates, layer.updates),
    groups: layer.groups.map((group, k) => ({
      ...group,
      weights: on(before.groups[k]?.weights ?? [], group.weights),
      updates: on(before.groups[k]?.updates ?? [], group.updates),
    })),
    dead: on(before.dead, layer.dead),
    saturated: on(before.saturated, layer.saturated),
  };
}
