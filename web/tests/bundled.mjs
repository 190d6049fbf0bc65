/** Loads TypeScript of the page in Node.js. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "vite";

const web = resolve(dirname(fileURLToPath(import.meta.url)), "..");

/** The exports of a TypeScript file, bundled into one script. */
export async function bundled(entry) {
  const folder = mkdtempSync(join(tmpdir(), "chainrule-core-"));
  try {
    await build({
      root: web, configFile: false, logLevel: "error",
      build: {
        outDir: folder, emptyOutDir: true, minify: false,
        lib: { entry, formats: ["es"], fileName: () => "core.mjs" },
      },
    });
    return await import(pathToFileURL(join(folder, "core.mjs")).href);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
