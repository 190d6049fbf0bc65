/** The answer of a network in words: the class with its share, or the numbers; and the loss. */
import { isValue, type Result } from "../core/evaluate";
import type { InspectionDocument } from "../document";
import { entryText, short } from "../parts/numbers";
import { size } from "../arrays";

/** The nodes that the header tells: the answer, or the outputs but the loss. */
export function answers(document: InspectionDocument): number[] {
  const { target, graph } = document;
  if (target && graph.nodes[target.output]) return [target.output];
  return graph.outputs.filter((k) => k !== graph.loss);
}

/** The answer for a row of the batch, such as "Adelie 93.1 %" or "0.787". */
export function answerText(
  document: InspectionDocument, node: number, result: Result | undefined, row: number, rows: number,
): string {
  if (!isValue(result)) return result ? "cannot be computed here" : "";
  const batched = document.graph.nodes[node]?.shape[0] === "N";
  const each = batched ? size(result.shape.slice(1)) : result.data.length;
  const start = batched ? Math.min(row, rows - 1) * each : 0;
  const classes = document.target?.output === node ? document.target.classes : [];
  if (classes.length && classes.length === each) {
    const shares = Array.from({ length: each }, (_, k) => Number(result.data[start + k]));
    const best = shares.reduce((most, x, k) => (x > shares[most]! || Number.isNaN(shares[most]!) ? k : most), 0);
    return `${classes[best]} ${percent(shares[best]!)}`;
  }
  const shown = Math.min(each, 4);
  const texts = Array.from({ length: shown }, (_, k) => entryText(result, start + k, 5));
  return each === 1 ? texts[0]! : `[${texts.join(", ")}${each > shown ? ", …" : ""}]`;
}

/** A share as per cent, exact enough near 0 and 1. */
export function percent(x: number): string {
  if (!Number.isFinite(x)) return short(x);
  const share = 100 * x;
  return `${share > 99.9 && share < 100 ? share.toFixed(Math.min(6, Math.ceil(-Math.log10(1 - x)) - 1)) : short(share, 3)} %`;
}
