/** Builds the page's one script and one style sheet into the Python package. */
import { svelte, vitePreprocess } from "@sveltejs/vite-plugin-svelte";
import { copyFileSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

const OUT = process.env.OUT ?? "../src/chainrule/inspector/static";

/** The layout engine is shipped as its authors made it. */
const layoutEngine = {
  name: "layout-engine",
  closeBundle() {
    copyFileSync("node_modules/elkjs/lib/elk-worker.min.js", `${OUT}/elk-worker.min.js`);
  },
};

/** Writes LICENSES.txt: what is in the bundle of others, with its version and licence. */
const licences: Plugin = {
  name: "licences",
  generateBundle(_, bundle) {
    const folders = new Map([["elkjs", "node_modules/elkjs"]]); // its worker is no part of the script
    for (const chunk of Object.values(bundle)) {
      if (chunk.type !== "chunk") continue;
      for (const id of chunk.moduleIds) {
        const found = /^(.*\/node_modules\/((?:@[^/]+\/)?[^/]+))\//.exec(id.replaceAll("\\", "/"));
        if (found) folders.set(found[2]!, found[1]!);
      }
    }
    const texts = [...folders].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, folder]) => {
      const { version, license, homepage } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Record<string, string>;
      const file = readdirSync(folder).filter((x) => /^licen[cs]e/i.test(x)).sort()[0];
      if (!file) this.error(`${name} has no licence file: it cannot be shipped`);
      const text = readFileSync(join(folder, file), "utf8").replaceAll("\r\n", "\n").trim();
      return `${name} ${version} (${license}), ${homepage ?? `https://www.npmjs.com/package/${name}`}\n${"-".repeat(72)}\n${text}\n`;
    });
    const head = "The page of Chainrule contains code of these packages.\n";
    this.emitFile({ type: "asset", fileName: "LICENSES.txt", source: [head, ...texts].join("\n\n") });
  },
};

export default defineConfig({
  plugins: [
    layoutEngine,
    licences,
    svelte({ configFile: false, preprocess: vitePreprocess(), compilerOptions: { css: "external" } }),
  ],
  build: {
    outDir: OUT,
    emptyOutDir: true,
    target: "es2022",
    cssCodeSplit: false,
    reportCompressedSize: false,
    lib: { entry: "src/main.ts", name: "chainrule", formats: ["iife"], fileName: () => "inspector.js", cssFileName: "inspector" },
  },
  test: { include: ["tests/**/*.test.ts"], testTimeout: 60_000 }, // a busy machine is slow
});
