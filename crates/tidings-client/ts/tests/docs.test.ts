// The code of the pages that people read compiles. The route handler runs in Next: see `tests/next`.

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const guide = ["browser-client", "llm-answer", "typed-events"].map((page) => `../../docs/guide/${page}.md`);
const pages = ["README.md", ...guide];

/** What the pages say without saying where it is from. */
const GLOBALS = `
declare function show(...values: unknown[]): void;
declare function clear(...values: unknown[]): void;
`;

interface Block {
  language: string;
  code: string;
  at: string;
}

function blocks(page: string): Block[] {
  const text = readFileSync(join(root, page), "utf8");
  return [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(({ 1: language = "", 2: code = "", index }) => ({
    language, code, at: `${page}:${text.slice(0, index).split("\n").length + 1}`,
  }));
}

const all = pages.flatMap(blocks);

/** The module of a block. What a page shows as generated is the file that its other blocks import. */
function module({ language, code, at }: Block, n: number): { file: string; code: string } {
  if (code.startsWith("// @generated")) return { file: "topics.ts", code };
  return { file: `block${n}.${language}`, code: `// ${at}\n${code}` };
}
let folder: string;

beforeAll(() => {
  // Where modules are found.
  mkdirSync(join(root, "node_modules/.docs"), { recursive: true });
  folder = mkdtempSync(join(root, "node_modules/.docs/"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** What the compiler says about these modules. */
function check(modules: { file: string; code: string }[]): string {
  const compilerOptions = {
    noUnusedLocals: false, isolatedDeclarations: false, declaration: false, skipLibCheck: true,
    // Of the server of a route handler.
    types: ["node"],
    // React's, and a console that has everything.
    paths: { "tidings-client": [join(root, "ts/index.ts")], "tidings-client/*": [join(root, "ts/*.ts")] },
  };
  const config = { extends: join(root, "tsconfig.json"), compilerOptions, include: [`${folder}/*`] };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
  writeFileSync(join(folder, "globals.d.ts"), GLOBALS);
  for (const { file, code } of modules) writeFileSync(join(folder, file), `${code}\nexport {};\n`);
  try {
    execFileSync(join(root, "node_modules/.bin/tsc"), ["--project", folder], { encoding: "utf8" });
    return "";
  } catch (error) {
    return (error as { stdout: string }).stdout;
  } finally {
    for (const { file } of modules) rmSync(join(folder, file));
  }
}

describe("the code of the pages", () => {
  const typed = all.filter(({ language }) => language === "ts" || language === "tsx");

  test("compiles, strictly", () => {
    expect(typed.length).toBeGreaterThanOrEqual(10);
    expect(check(typed.map(module))).toBe("");
  });

  test("is in a language that is tested", () => {
    // Rust by the crate, and HTML, shell and what compilers say are shown.
    expect(new Set(all.map(({ language }) => language))).toEqual(new Set(["ts", "tsx", "rust", "html", "sh", "text"]));
  });

  test("does not compile any more when an event of the server has another name, as the page shows", () => {
    const modules = typed.filter(({ code }) => code.includes("topics<Topics>") || code.startsWith("// @generated")).map(module);
    const renamed = modules.map(({ file, code }) => ({ file, code: file === "topics.ts" ? code.replace('"created"', '"placed"') : code }));
    const said = check(renamed);
    const shown = all.find(({ language }) => language === "text")?.code ?? "";
    const [at, error] = [/\((\d+),/.exec(shown)?.[1], /error .* in type/.exec(shown)?.[0]];
    expect(said).toMatch(new RegExp(`block\\d+\\.tsx\\(${Number(at) + 1},.*${error}`));
    expect(said).toMatch(/block\d+\.ts\(\d+,.*TS2345/);
  });

  test("that names an event that is not there, or takes its data for something else, does not compile", () => {
    const begin = 'import { connect } from "tidings-client";\nconst c = connect<{ created: { number: number } }>("/");\n';
    const wrong = [
      'c.on("craeted", () => {});',
      'c.on("created", (order) => order.nummer);',
      'c.on("created", (order: string) => show(order));',
      'c.on("tidings:status", (status) => show(status.reason));',
      'for await (const event of c) if (event.name === "created") event.data.nummer;',
    ];
    const said = check(wrong.map((line, n) => ({ file: `wrong${n}.ts`, code: begin + line })));
    for (const n of wrong.keys()) expect(said).toContain(`wrong${n}.ts`);
    const right = [
      'c.on("created", (order, event) => show(order.number.toFixed(), event.data.number, event.name satisfies "created"));',
      'c.on("tidings:status", (status) => { if (status.status === "reset") show(status.reason); });',
      'for await (const event of c) if (event.name === "created") event.data.number.toFixed();',
      'connect("/").on("anything", (data: { of: "any type" }) => show(data.of));',
    ];
    expect(check(right.map((line, n) => ({ file: `right${n}.ts`, code: begin + line })))).toBe("");
  });
});
