/** Evaluates the graphs of a JSON file with the page's evaluator: `node evaluate.mjs FILE OUT`.
 *
 * A line of the file is `{graph, given, rows, wanted, steps, chained}`: the values of inputs and
 * parameters by index, and the indices of the nodes whose values are wanted. A line of the output is
 * `{values, steps, sent}`, with a failure's sentence in place of a value that is missing.
 */
import { createReadStream, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { bundled } from "./bundled.mjs";

const [, , file, out] = process.argv;
const web = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const core = await bundled(join(web, "src/core/index.ts"));
const { chain } = await bundled(join(web, "src/panels/chain.ts"));
const lines = [];
for await (const line of createInterface({ input: createReadStream(file) })) {
  lines.push(JSON.stringify(answered(JSON.parse(line))));
}
writeFileSync(out, lines.join("\n"));

/** For each gradient, and some of its entries: what is sent to it, as the page shows it. */
function sent(graph, results, rows) {
  const parts = [];
  for (const form of graph.gradients) {
    const { data } = results[form.gradient];
    for (const entry of new Set([0, Math.floor(data.length / 2), data.length - 1])) {
      if (!data.length || !form.terms.length) continue;
      const terms = chain(graph, results, form, rows, entry).map(({ consumer, sent, rest, total }) => ({
        consumer: graph.nodes[consumer].name, rest, total,
        sum: sent.reduce((sum, x) => sum + (x.local && x.incoming * x.local), 0),
      }));
      parts.push({ node: graph.nodes[form.node].name, entry, gradient: data[entry], terms });
    }
  }
  return parts;
}

function answered({ graph, given, rows, wanted, steps, chained }) {
  const values = new Map(Object.entries(given).map(([k, form]) => [Number(k), core.decode(form)]));
  const results = core.evaluate(graph, values, rows);
  return {
    values: (wanted ?? results.map((_, k) => k)).map((k) => written(results[k])),
    sent: chained ? sent(graph, results, rows) : null,
    steps: steps ? all(graph, results, steps).map((step) => told(step, graph, steps)) : null,
  };
}

function all(graph, results, options) {
  return [...core.steps(graph, results, options), ...core.updateSteps(graph, results, options.entries)];
}

function written(result) {
  if ("failure" in result) return result.failure;
  const { dtype, shape, data } = result;
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return { dtype, shape, data: bytes.toString("base64") };
}

function told(step, graph, { entries }) {
  const names = (nodes) => nodes.map((k) => graph.nodes[k].name);
  const { direction, name, consumers, passed } = step;
  const text = core.stepText(step, entries);
  return { direction, name, text, consumers: names(consumers), passed: names(passed) };
}
