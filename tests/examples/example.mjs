// A small example as a process, and its page in a browser.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before } from "node:test";

import { launch } from "../browser/chromium.mjs";
import { defer } from "../browser/cleanup.mjs";
import { Server } from "../browser/server.mjs";

export const timeout = 60_000;

/** Starts an example. */
export function start(t, name) {
  return class extends Server {
    static greeting = /^http:\/\/127\.0\.0\.1:(\d+)\//;

    static get program() {
      const folder = process.env.TIDINGS_EXAMPLES;
      if (!folder) throw new Error("TIDINGS_EXAMPLES: is not set; it is the folder of the programs, see ../tests/examples/pages.rs");
      return join(folder, name);
    }

    static listenOn(address) {
      return [address];
    }
  }.start(t);
}

/** Starts one browser for the file. Returns a function that opens a page of its own session, or of one that there is. */
export function pages() {
  let browser;
  before(async () => { browser = await launch(); }, { timeout });
  after(async () => { await browser?.close(); });
  return async (t, url, { context, provoked = [], ...options } = {}) => {
    if (!context) {
      context = await browser.newContext(options);
      defer(t, () => context.close());
      await context.route("https://cdn.jsdelivr.net/**", serveInstalled);
    }
    const page = await context.newPage();
    page.setDefaultTimeout(0);   // the test has a time limit
    const complaints = [];
    page.on("console", (message) => {
      const text = `${message.text()} at ${message.location().url}`;
      if (["error", "warning"].includes(message.type()) && !provoked.some((known) => known.test(text))) complaints.push(text);
    });
    page.on("pageerror", (error) => complaints.push(`thrown: ${error.message}`));
    defer(t, () => assert.deepEqual(complaints, []));
    await page.goto(url);
    return page;
  };
}

/** Answers with what is installed, in the version that the page asks for. */
export async function serveInstalled(route) {
  const [, origin, name, version, path] = /\.net\/(npm|gh)\/([^@]+)@([^/]+)\/(.+)$/.exec(route.request().url());
  const body = origin === "npm" ? await ofNpm(name, version, path) : await datastar(`${name}@${version}/${path}`);
  await route.fulfill({ contentType: "text/javascript", body });
}

async function ofNpm(name, version, path) {
  const read = (file) => readFile(new URL(`node_modules/${name}/${file}`, import.meta.url), "utf8");
  assert.equal(JSON.parse(await read("package.json")).version, version, name);
  return read(path);
}

/** Datastar's script from ../datastar/requirements.txt. Its first line has its version. */
async function datastar(path) {
  const { DATASTAR: file } = process.env;
  if (!file) throw new Error("DATASTAR: is not set; it is the path of Datastar's script, see ../tests/examples/pages.rs");
  const script = await readFile(file, "utf8");
  const [, version] = /^\/\/ Datastar (\S+)/.exec(script);
  assert.equal(path, `starfederation/datastar@${version}/bundles/datastar.js`);
  return script;
}
