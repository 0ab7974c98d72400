// Bundles the client for pages without npm: assets/tidings.js, which defines the global `tidings`. It is committed, because the
// crate has it in the binary. `--check` says whether it is what the sources give.

import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";

const FILE = new URL("assets/tidings.js", import.meta.url);

/** The bundle of an entry: a path of this folder, or `{ contents }`. */
export async function bundle(entry, options = {}) {
  const resolveDir = fileURLToPath(new URL(".", import.meta.url));
  const source = typeof entry === "string" ? { entryPoints: [resolveDir + entry] } : { stdin: { resolveDir, ...entry } };
  const { outputFiles: [file] } = await build({
    ...source, bundle: true, minify: true, format: "esm", target: "es2022", legalComments: "none", write: false, ...options,
  });
  return file.text;
}

/** How many bytes it is when it is sent. */
export const gzipped = (text) => gzipSync(text, { level: 9 }).length;

/** What the sources give. */
export async function page() {
  const text = await bundle("ts/browser.ts", { format: "iife", globalName: "tidings" });
  return `// tidings-client: MIT OR Apache-2.0. Built by crates/tidings-client/build.mjs.\n${text}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = await page();
  if (!process.argv.includes("--check")) await writeFile(FILE, text);
  else if (await readFile(FILE, "utf8") !== text) {
    console.error("assets/tidings.js is not what the sources give: run `npm run build` in crates/tidings-client");
    process.exit(1);
  }
}
