// What a page has to load, and what happens when it is only imported.

import { readFileSync, readdirSync } from "node:fs";
import vm from "node:vm";
import { describe, expect, test } from "vitest";
// @ts-expect-error -- a script
import { bundle, gzipped, page } from "../../build.mjs";

const build = bundle as (entry: string | { contents: string }, options?: object) => Promise<string>;
const size = async (contents: string): Promise<number> => (gzipped as (text: string) => number)(await build({ contents }));
const root = new URL("../../", import.meta.url);

describe("what is imported is small", () => {
  test("the core: 3.6 KB, gzipped", async () => {
    const core = await size('export { connect } from "./ts/index.ts"');
    console.log(`the core: ${core} bytes, gzipped`);
    expect(core).toBeLessThan(3_700);
    expect(core).toBeGreaterThan(2_000);
  });

  test("with one connection for all tabs: 6.5 KB", async () => {
    expect(await size('export { connect } from "./ts/index.ts"; export { tabs } from "./ts/tabs.ts"')).toBeLessThan(6_600);
  });

  test("and what is not imported is not there", async () => {
    const core = await build({ contents: 'export { connect } from "./ts/index.ts"' });
    for (const text of ["BroadcastChannel", "EventSource", "requestAnimationFrame", "customElements"]) expect(core).not.toContain(text);
  });

  test("each of the framework's files is 40 lines at most", () => {
    for (const name of ["react", "vue", "svelte"]) {
      expect(readFileSync(new URL(`ts/${name}.ts`, root), "utf8").trim().split("\n").length).toBeLessThanOrEqual(40);
    }
  });
});

describe("importing", () => {
  /** The globals that every JavaScript engine has, and none of a page or a server. */
  const bare = (): vm.Context => vm.createContext({ module: { exports: {} } });

  test.each(["index", "tabs", "debug", "browser"])("%s touches no global", async (name) => {
    const script = await build(`ts/${name}.ts`, { format: "cjs" });
    expect(() => new vm.Script(script).runInContext(bare())).not.toThrow();
  });

  test.each(["react", "vue", "svelte"])("%s touches none but its framework", async (name) => {
    const script = await build(`ts/${name}.ts`, { format: "cjs", external: ["react", "vue", "svelte"] });
    const context = bare();
    context["require"] = () => ({});
    expect(() => new vm.Script(script).runInContext(context)).not.toThrow();
  });

  test("and defining the panel on a server is nothing", async () => {
    const context = bare();
    new vm.Script(await build("ts/debug.ts", { format: "cjs" })).runInContext(context);
    expect(() => new vm.Script("module.exports.defineDebugElement()").runInContext(context)).not.toThrow();
  });
});

test("the script for pages without npm is what the sources give, and defines one global", async () => {
  const committed = readFileSync(new URL("assets/tidings.js", root), "utf8");
  expect(committed === (await (page as () => Promise<string>)()), "run `npm run build`").toBe(true);
  const context = vm.createContext({});
  new vm.Script(committed).runInContext(context);
  expect(Object.keys(context)).toEqual(["tidings"]);
  const names = Object.keys((context as { tidings: object }).tidings);
  expect(names).toEqual(expect.arrayContaining(["connect", "tabs", "createStore", "eachPaint", "eventSourceTransport"]));
});

test("package.json exports files that the sources make, and has no dependencies", () => {
  const { exports, dependencies } = JSON.parse(readFileSync(new URL("package.json", root), "utf8"));
  const sources = readdirSync(new URL("ts", root));
  for (const [name, target] of Object.entries<{ default: string } | string>(exports)) {
    if (typeof target === "string") continue;
    expect(sources, name).toContain(target.default.replace("./dist/", "").replace(".js", ".ts"));
  }
  expect(dependencies).toBeUndefined();
});
