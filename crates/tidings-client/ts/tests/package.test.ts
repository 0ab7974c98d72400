// The package as it is published: built, installed in another folder, used with types and without.

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const tsc = join(root, "node_modules/typescript/bin/tsc");
let folder: string;

const run = (...args: string[]): string => {
  try {
    return execFileSync(process.execPath, args, { cwd: folder, encoding: "utf8" });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    return stdout + stderr;
  }
};

beforeAll(() => {
  mkdirSync(join(root, "node_modules/.package"), { recursive: true });
  folder = mkdtempSync(join(root, "node_modules/.package/"));
  const installed = join(folder, "node_modules/tidings-client");
  mkdirSync(installed, { recursive: true });
  cpSync(join(root, "package.json"), join(installed, "package.json"));
  expect(run(tsc, "--project", join(root, "tsconfig.build.json"), "--outDir", join(installed, "dist"))).toBe("");
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true }));

const USE = `
import { connect, createStore, eachPaint, eventSourceTransport, topics } from "tidings-client";
import { logTo } from "tidings-client/debug";
import { tabs } from "tidings-client/tabs";
import { tidings } from "tidings-client/svelte";
const client = connect("http://127.0.0.1:1/events", { transport: tabs() });
client.close();
console.log(client.state, [createStore, eachPaint, eventSourceTransport, logTo, tidings, topics].map((it) => typeof it).join());
`;

test("runs in Node, where it opens nothing when it is only imported", () => {
  writeFileSync(join(folder, "use.mjs"), USE);
  expect(run("use.mjs")).toBe("closed function,function,function,function,function,function\n");
});

test.each(["bundler", "nodenext"])("has types, by module resolution %s", (resolution) => {
  const typed = `
    connect<{ a: number }>("/").on("a", (n) => n.toFixed());
    topics<{ "a:*": { b: number } }>("/").subscribe("a:1").on("b", (n) => n.toFixed());
  `;
  writeFileSync(join(folder, "use.mts"), USE + typed);
  const module = resolution === "nodenext" ? "nodenext" : "esnext";
  const flags = ["--ignoreConfig", "--module", module, "--moduleResolution", resolution, "--lib", "es2022,dom", "--types", ""];
  expect(run(tsc, "use.mts", "--strict", "--noEmit", "--target", "es2022", ...flags)).toBe("");
  writeFileSync(join(folder, "wrong.mts"), 'import { connect } from "tidings-client";\nconnect<{ a: number }>("/").on("b", () => {});\n');
  expect(run(tsc, "wrong.mts", "--strict", "--noEmit", "--target", "es2022", ...flags)).toContain("TS2345");
});
