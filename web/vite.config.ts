/** Builds the page's one script and one style sheet into the Python package. */
import { svelte, vitePreprocess } from "@sveltejs/vite-plugin-svelte";
import { copyFileSync } from "node:fs";
import { defineConfig } from "vitest/config";

const OUT = process.env.OUT ?? "../src/chainrule/inspector/static";

/** The layout engine is shipped as its authors made it, with its licence. */
const layoutEngine = {
  name: "layout-engine",
  closeBundle() {
    copyFileSync("node_modules/elkjs/lib/elk-worker.min.js", `${OUT}/elk-worker.min.js`);
    copyFileSync("node_modules/elkjs/LICENSE.md", `${OUT}/elk-LICENSE.md`);
  },
};

export default defineConfig({
  plugins: [
    layoutEngine,
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
  test: { include: ["tests/**/*.test.ts"] },
});
