/** Reads cells as a page does: `node cells.mjs FILE OUT`.
 *
 * The file is a JSON list of `[encoder, cells]`, with encoders as in the page's document. The output
 * has for each of them the list of what the cells become: `{values, told, odd}`, NaN as null.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { bundled } from "./bundled.mjs";

const [, , file, out] = process.argv;
const web = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const { readCell } = await bundled(join(web, "src/cells/read.ts"));
const tasks = JSON.parse(readFileSync(file, "utf8"));
writeFileSync(out, JSON.stringify(tasks.map(([encoder, cells]) => cells.map((x) => readCell(encoder, x)))));
