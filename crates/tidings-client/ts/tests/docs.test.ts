// The code of the pages that people read compiles; and the route handler runs.

import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const pages = ["README.md", "../../docs/guide/browser-client.md", "../../docs/guide/llm-answer.md"];

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
    const modules = typed.map(({ code, language }, n) => ({ file: `block${n}.${language}`, code: `// ${typed[n]?.at}\n${code}` }));
    expect(check(modules)).toBe("");
  });

  test("is in a language that is tested", () => {
    // Rust by the crate, and HTML and shell are shown.
    expect(new Set(all.map(({ language }) => language))).toEqual(new Set(["ts", "tsx", "rust", "html", "sh"]));
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

test("the route handler passes on what a browser asks for, the stream as it comes, and its end", async () => {
  const block = all.find(({ code }) => code.includes("export async function GET"));
  let gone: Promise<unknown> = Promise.resolve();
  const asked: http.IncomingMessage[] = [];
  const hub = http.createServer((request, response) => {
    asked.push(request);
    gone = once(response, "close");
    if (request.url?.includes("finished")) return void response.writeHead(204).end();
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: 1\n\n");
  });
  hub.listen(0, "127.0.0.1");
  await once(hub, "listening");
  const file = join(folder, "route.ts");
  writeFileSync(file, (block?.code ?? "").replace(":3000", `:${(hub.address() as AddressInfo).port}`));
  const { GET } = (await import(file)) as { GET: (request: Request) => Promise<Response> };
  const end = new AbortController();
  const headers = { cookie: "session=1", "last-event-id": "e-1", "x-other": "not passed on" };
  const response = await GET(new Request("https://app.test/events?topic=a", { headers, signal: end.signal }));
  expect(asked[0]?.url).toBe("/events?topic=a");
  expect(asked[0]?.headers).toMatchObject({ cookie: "session=1", "last-event-id": "e-1", accept: "text/event-stream" });
  expect(asked[0]?.headers["x-other"]).toBeUndefined();
  expect(response.headers.get("content-type")).toBe("text/event-stream");
  const first = await response.body?.getReader().read();
  expect(new TextDecoder().decode(first?.value)).toBe("data: 1\n\n");
  end.abort();
  await gone;
  expect((await GET(new Request("https://app.test/events?finished"))).status).toBe(204);
  hub.close();
  rmSync(file);
});
