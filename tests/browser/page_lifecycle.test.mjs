// What happens to a page's stream when the page is left, comes back, or is one of many.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import http from "node:http";
import { describe, test } from "node:test";

import { defer } from "./cleanup.mjs";
import { hubAndBrowser } from "./fixture.mjs";
import { Publisher } from "./publisher.mjs";

const timeout = 90_000;
const LIMIT_MS = 20_000;
const start = hubAndBrowser({ timeout });

// An EventSource that keeps the numbers of the events that it receives, over the whole life of its page.
const RECORD = () => {
  window.numbers = [];
  window.returns = 0;
  addEventListener("pageshow", ({ persisted }) => { if (persisted) window.returns += 1; });
  const NativeEventSource = EventSource;
  window.EventSource = class extends NativeEventSource {
    constructor(...args) {
      super(...args);
      for (const name of ["price", "created"]) {
        this.addEventListener(name, ({ data }) => window.numbers.push(JSON.parse(data).n));
      }
    }
  };
};

/** Resolves when the hub has this many clients. */
async function untilClients(hub, count) {
  const end = performance.now() + LIMIT_MS;
  let total;
  do ({ total } = await hub.clients());
  while (total !== count && performance.now() < end);
  assert.equal(total, count, "clients of the hub");
}

/** Resolves when `condition` holds in the page, also if it is just coming back. (Playwright's own `goBack` and
 * `waitForFunction` know only pages that load.) */
async function until(page, condition, value) {
  const end = performance.now() + LIMIT_MS;
  let failure;
  while (!await page.evaluate(condition, value).catch((error) => { failure = error; })) {
    if (performance.now() > end) throw new Error(`not in the page: ${condition}`, { cause: failure });
  }
}

/** Asserts that `numbers` has neither a gap nor a double. */
function assertGapless(numbers) {
  assert.deepEqual(numbers, numbers.map((_, i) => numbers[0] + i));
}

/** Goes to ten pages, back, and forth to the last. Each gets its stream, has the only one, and misses nothing. */
async function tenPagesAndBack(page, hub, url) {
  page.setDefaultTimeout(0);   // the test has a time limit
  page.setDefaultNavigationTimeout(0);
  await page.addInitScript(RECORD);
  const receives = async () => {
    const { length } = await page.evaluate(() => window.numbers);
    await until(page, (length) => window.numbers.length > length, length);
    await untilClients(hub, 1);
  };
  const last = 10;
  for (let n = 1; n <= last; n++) {
    await page.goto(`${url}?page=${n}`);
    await receives();
  }
  // Chromium keeps a few pages.
  const returnTo = async (n, by, times) => {
    await page.evaluate((by) => { history.go(by); }, by).catch(() => {});   // the page may be gone before it answers
    await until(page, ({ n, times }) => location.search === `?page=${n}` && window.returns === times, { n, times });
    await receives();
    assertGapless(await page.evaluate(() => window.numbers));
  };
  for (let n = last - 1; n >= last - 4; n--) await returnTo(n, -1, 1);
  for (let n = last - 3; n < last; n++) await returnTo(n, 1, 2);
  await returnTo(last, 1, 1);
}

/** Serves `html` on any free port, and everything else from the hub. Returns the origin. */
async function serve(t, hub, html) {
  const server = http.createServer((request, response) => {
    if (request.url.startsWith("/?")) {
      response.setHeader("Content-Type", "text/html; charset=utf-8");
      response.end(html);
      return;
    }
    const { url: path, method, headers } = request;
    const upstream = http.request({ host: "127.0.0.1", port: hub.port, path, method, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    upstream.on("error", () => response.destroy());
    response.on("close", () => upstream.destroy());
    request.pipe(upstream);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  defer(t, () => { server.closeAllConnections(); server.close(); });
  return `http://127.0.0.1:${server.address().port}/`;
}

describe("a page that is left", { concurrency: 2 }, () => {
  test("gives its connection back, and misses nothing when it returns: the live page", { timeout }, async (t) => {
    const { hub, context } = await start(t);
    const page = await context.newPage();
    await tenPagesAndBack(page, hub, `${hub.url}/`);
    const text = (id) => page.locator(`#${id}`).innerText();
    assert.equal(await text("status"), "resumed");
    await until(page, () => /^Away for [\d.]+ s: \d+ events? replayed, 0 missing, 0 doubled\.$/.test(document.getElementById("outcome").innerText));
    assert.deepEqual([await text("reconnects"), await text("missing"), await text("doubled"), await text("resets")], ["1", "0", "0", "0"]);
  });

  test("gives its connection back, and misses nothing when it returns: the guide's code", { timeout }, async (t) => {
    const guide = await readFile(new URL("../../docs/guide/page-lifecycle.md", import.meta.url), "utf8");
    const [, code] = /^```js\n(.*?)^```$/ms.exec(guide);
    const { hub, context } = await start(t);
    new Publisher(t, hub, { topics: ["news"], everyMs: 50, event: "created" });
    const origin = await serve(t, hub, `<!doctype html><title>News</title><script type="module">const show = () => {};\n${code}</script>`);
    await tenPagesAndBack(await context.newPage(), hub, origin);
  });
});

describe("many tabs", () => {
  test("share five streams: the others say why they wait, and go on when one is closed", { timeout }, async (t) => {
    const { hub, context } = await start(t);
    const tabs = [];
    for (let n = 1; n <= 8; n++) {
      const tab = await context.newPage();
      tab.setDefaultTimeout(0);
      tab.setDefaultNavigationTimeout(0);
      tabs.push(tab);
      await tab.goto(hub.url);   // with six streams, the seventh would not even load
      if (n <= 5) await tab.locator('#state[data-state="live"]').waitFor();
    }
    for (const tab of tabs.slice(5)) {
      await tab.locator('#state[data-state="waiting"]').waitFor();
      assert.match(await tab.locator("#notice").innerText(), /^This tab waits for a connection: 5 other tabs .* Close one of those tabs, and this one goes on by itself\./);
    }
    await untilClients(hub, 5);
    // A tab that waits can do everything else.
    await tabs[7].locator("#publish-form button[type=submit]").click();
    await tabs[7].locator("#publish-result", { hasText: /^Published as .* to 5 subscribers\.$/ }).waitFor();

    // A tab that is closed makes room, and so does a page that is left.
    const waiting = tabs.slice(5).map((tab) => tab.locator('#state[data-state="live"]').waitFor());
    await tabs[0].close();
    await Promise.race(waiting);
    await untilClients(hub, 5);
    await tabs[1].close();
    await tabs[2].goto(`${hub.url}/healthz`);
    await Promise.all(waiting);
    await untilClients(hub, 5);
    for (const tab of tabs.slice(5)) assert.ok(await tab.locator("#notice").isHidden());
  });

  test("and a slow server are told apart", { timeout }, async (t) => {
    const { hub, context } = await start(t);
    const tab = await context.newPage();
    tab.setDefaultTimeout(0);
    const held = new Promise((resolve) => tab.route("**/events?*", resolve));   // no byte comes
    await tab.goto(hub.url);
    await tab.locator("#notice", { hasText: "The server has not answered yet" }).waitFor();
    assert.equal(await tab.locator("#state").getAttribute("data-state"), "connecting");
    await (await held).continue();
    await tab.locator('#state[data-state="live"]').waitFor();
    assert.ok(await tab.locator("#notice").isHidden());
  });
});
