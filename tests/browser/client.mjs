// A page with the browser client (crates/tidings-client), and everything that it receives.

import { readFile } from "node:fs/promises";

import { defer } from "./cleanup.mjs";

/** What the crate serves as `/tidings.js`. */
export const SCRIPT = await readFile(new URL("../../crates/tidings-client/assets/tidings.js", import.meta.url), "utf8");

/** Runs in the page: opens a client, and records what it tells. `transport` is `fetch`, `eventSource` or `tabs`. */
export const RECORD = ({ path, transport, options }) => {
  const { connect, eventSourceTransport, fetchTransport, tabs } = globalThis.tidings;
  const record = { numbers: [], statuses: [], ended: [], errors: [], states: [], streams: 0, opened: 0 };
  globalThis.record = record;
  // Who leads is who has a stream.
  const over = async (request, sink) => {
    record.streams += 1;
    record.opened += 1;
    try {
      return await fetchTransport(request, sink);
    } finally {
      record.streams -= 1;
    }
  };
  const transports = { fetch: over, eventSource: eventSourceTransport({ heartbeat: "ping" }), tabs: tabs({ over }) };
  const client = connect(path, { transport: transports[transport], ...options });
  record.client = client;
  client.on("tick", ({ n }) => record.numbers.push(n));
  client.on("tidings:status", ({ status }) => record.statuses.push(status));
  client.onEnded((reason) => record.ended.push(reason));
  client.onError((error) => record.errors.push(`${error.kind}: ${error.cause ?? error.message}`));
  client.onState((state) => record.states.push(state));
};

export class ClientPage {
  page;
  isCrashed = false;

  /** Opens `path` of `origin` in a new page of that origin. */
  static async open(t, context, origin, path, { transport = "fetch", ...options } = {}) {
    const it = new this();
    it.page = await context.newPage();
    defer(t, () => it.page.close());
    it.page.on("crash", () => { it.isCrashed = true; });
    it.page.setDefaultTimeout(0);   // the test has a time limit
    await it.page.goto(`${origin}/healthz`);
    await it.page.addScriptTag({ content: SCRIPT });
    await it.page.evaluate(RECORD, { path, transport, options });
    await it.until(() => record.statuses.length > 0);
    return it;
  }

  /** Resolves when `condition` holds in the page. */
  async until(condition, value) {
    await this.page.waitForFunction(condition, value, { timeout: 0, polling: 20 });
  }

  /** Resolves to all that was recorded when the number `n` has come. */
  async number(n) {
    await this.until((n) => record.numbers.at(-1) >= n, n);
    return this.record();
  }

  async record() {
    return this.page.evaluate(() => {
      const { client, ...rest } = record;
      return { ...rest, state: client.state, lastEventId: client.lastEventId };
    });
  }

  /** Ends the page's process, as when it runs out of memory. */
  async crash() {
    const session = await this.page.context().newCDPSession(this.page);
    const crashed = new Promise((resolve) => this.page.once("crash", resolve));
    session.send("Page.crash").catch(() => {});   // nobody is left to answer
    await crashed;
  }
}
