/** Which of the recorded epochs is shown, and sentences about a run. */
import type { Learning } from "../sections";
import { short } from "../parts/numbers";

/** The index of the last record up to an epoch; of the newest for null. */
export function recordAt(epochs: readonly number[], epoch: number | null): number {
  if (epoch === null) return epochs.length - 1;
  let found = 0;
  epochs.forEach((x, k) => {
    if (x <= epoch) found = k;
  });
  return epochs.length ? found : -1;
}

/** The recorded epochs of several runs, ascending. */
export function allEpochs(runs: readonly (Learning | null)[]): number[] {
  return [...new Set(runs.flatMap((run) => run?.epochs ?? []))].sort((a, b) => a - b);
}

/** The epoch of which confusion, worst rows and the rows that excite units are, in words. */
export function latestText(learning: Pick<Learning, "latest">): string {
  return learning.latest === undefined ? "latest epoch" : `epoch ${epochText(learning.latest)}`;
}

/** The first line: the loss before training beside that of a guess that looks at nothing. */
export function firstLine(learning: Pick<Learning, "start" | "guess" | "confusion">): string {
  const { start, guess, confusion } = learning;
  if (start === null) return "";
  const begins = `Before the first step the loss is ${short(start)}`;
  if (guess.loss === null) return `${begins}.`;
  const than = `${short(guess.loss)}, the loss of ${guess.told}`;
  const apart = (start - guess.loss) / Math.max(Math.abs(guess.loss), 1e-12);
  if (Math.abs(apart) < 0.02) return `${begins}: that of a network that knows nothing (${than}).`;
  if (apart < 0) return `${begins}, below ${than}.`;
  if (apart < 0.2) return `${begins}, a little above ${than}: the network knows nothing yet.`;
  const classes = confusion?.classes.length ?? 0;
  if (Math.abs(start - Math.log(classes)) < 0.1 * start)
    return `${begins}, that of equal chances for all ${classes} classes: the network does not know the class shares yet (${than}).`;
  return `${begins}, ${Math.round(apart * 100)} % above ${than}: the network begins with wrong answers it is sure of.`;
}

/** Columns of the history that are curves: all but those that count. */
export function measures(history: Learning["history"]): string[] {
  const counts = new Set(["epoch", "step", "seconds", "rate"]);
  return Object.keys(history).filter((name) => !counts.has(name));
}

/** The measures in groups with one axis: "loss" and "validation_loss" are one. */
export function groups(runs: readonly (Learning | null)[]): string[] {
  const plain = runs.flatMap((run) => measures(run?.history ?? {})).map(plainName);
  return [...new Set(["loss", ...plain])];
}

export function plainName(measure: string): string {
  return measure.replace(/^validation_/, "");
}

/** An epoch as text: "3", or within one "3.28". */
export function epochText(epoch: number): string {
  return Number.isInteger(epoch) ? String(epoch) : epoch.toFixed(2);
}
