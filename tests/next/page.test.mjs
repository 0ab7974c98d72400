// Pages of the application in Chromium.

import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";

import { defer } from "../browser/cleanup.mjs";
import { RECORD, SCRIPT } from "../browser/client.mjs";
import { assertContinuous } from "../browser/continuity.mjs";
import { Hub } from "../browser/hub.mjs";
import { Proxy } from "../browser/proxy.mjs";
import { pages } from "../examples/example.mjs";
import { Next, publish, timeout, untilClients } from "./next.mjs";

const open = pages();
const COUNT = 1_000;
/** So many are there when the page is rendered. */
const RENDERED = 20;

/** A hub that has its events when it is restarted. */
async function startHub(t, flags = []) {
  const folder = await mkdtemp(join(tmpdir(), "tidings-next-"));
  defer(t, () => rm(folder, { recursive: true }));
  return Hub.start(t, ["--log", `redb:${join(folder, "events.redb")}`, ...flags]);
}

/** The next cut between Next and the hub, after any byte. */
const cut = () => ({ after: 1 + randomInt(8_000), how: randomInt(2) === 0 ? "end" : "reset" });

const shown = (page) => page.evaluate(() => Array.from(document.querySelectorAll("li"), (line) => Number(line.textContent)));
const untilShown = (page, n) => page.waitForFunction((n) => Number(document.querySelector("li:last-child")?.textContent) >= n, n, { polling: 20 });

describe("a page with useTidings", { concurrency: 2 }, () => {
  test("is rendered with its state, hydrates without a complaint, and is live until it is left", { timeout }, async (t) => {
    const hub = await startHub(t);
    const next = await Next.start(t, hub);
    await publish(hub, "a", 1, RENDERED);
    const still = await open(t, `${next.url}/?topic=a`, { javaScriptEnabled: false });
    assertContinuous((await still.locator("li").allInnerTexts()).map(Number), 1, RENDERED);
    assert.equal(await still.locator("ol").getAttribute("class"), "connecting");
    // What is published after it was rendered, and before it hydrates.
    const context = await still.context().browser().newContext();
    defer(t, () => context.close());
    let published;
    await context.route("**/_next/static/**", async (route) => {
      await (published ??= publish(hub, "a", RENDERED + 1, RENDERED + 3));
      await route.continue();
    });
    const page = await open(t, `${next.url}/?topic=a`, { context });
    await untilShown(page, RENDERED + 3);
    assertContinuous(await shown(page), 1, RENDERED + 3);
    await page.locator("ol.open").waitFor();
    await page.close();
    await untilClients(hub, 0);
    assert.deepEqual(next.errors, []);
  });

  test("misses and doubles nothing while the hub's connections are cut and the hub is restarted", { timeout }, async (t) => {
    const hub = await startHub(t);
    const proxy = await Proxy.start(t, hub, { cut, retryMs: 20 });
    const next = await Next.start(t, proxy);
    await publish(hub, "a", 1, RENDERED);
    const provoked = [/ERR_INCOMPLETE_CHUNKED_ENCODING/, /status of 502/];
    const page = await open(t, `${next.url}/?topic=a`, { provoked });
    await publish(hub, "a", RENDERED + 1, COUNT / 2);
    await untilShown(page, COUNT / 2);
    await hub.restart();
    await publish(hub, "a", COUNT / 2 + 1, COUNT);
    await untilShown(page, COUNT);
    assertContinuous(await shown(page), 1, COUNT);
    assert.ok(proxy.cuts > 5, `${proxy.cuts} cuts`);
  });
});

describe("the browser client through the route handler", { concurrency: 2 }, () => {
  /** A page of `origin` that records what a client is told of its stream. */
  async function record(t, origin, path, options) {
    const page = await open(t, `${origin}/healthz`, { provoked: [/status of (404|429|502)/, /ERR_/] });
    await page.addScriptTag({ content: SCRIPT });
    await page.evaluate(RECORD, { path, ...options });
    return page;
  }
  const recorded = (page) => page.evaluate(() => {
    const { numbers, statuses, ended, errors, states, client } = record;
    return { numbers, statuses, ended, errors, states, state: client.state };
  });
  const until = (page, condition) => page.waitForFunction(condition, undefined, { polling: 20 });

  for (const transport of ["fetch", "eventSource"]) {
    test(`behaves as without it when a topic is finished (${transport})`, { timeout }, async (t) => {
      const hub = await startHub(t);
      const next = await Next.start(t, hub);
      const origins = [hub.url, next.url];
      const path = "/events?topic=job&history=all";
      const open = await Promise.all(origins.map((origin) => record(t, origin, path, { transport })));
      await publish(hub, "job", 1, 1);
      await Promise.all(open.map((page) => until(page, () => record.numbers.length > 0)));
      await hub.finish("job", "");
      await Promise.all(open.map((page) => until(page, () => record.client.state === "closed")));
      const [direct, through] = await Promise.all(open.map(recorded));
      assert.deepEqual(direct, { numbers: [1], statuses: ["fresh"], ended: ["finished"], errors: [], states: direct.states, state: "closed" });
      assert.deepEqual(through, direct);
      // It was finished, and read: 204.
      const lastEventId = await open[0].evaluate(() => record.client.lastEventId);
      const again = await Promise.all(origins.map((origin) => record(t, origin, path, { transport, options: { lastEventId } })));
      await Promise.all(again.map((page) => until(page, () => record.client.state === "closed")));
      const [directly, passedOn] = await Promise.all(again.map(recorded));
      assert.deepEqual([directly.numbers, directly.errors], [[], []]);
      assert.deepEqual(passedOn, directly);
    });

    test(`behaves as without it when a stream is refused, and comes back (${transport})`, { timeout }, async (t) => {
      const hub = await startHub(t, ["--streams-per-topic", "1", "--over-limit", "status"]);
      const next = await Next.start(t, hub);
      const leave = new AbortController();
      const first = await fetch(`${hub.url}/events?topic=a`, { signal: leave.signal });
      assert.equal(first.status, 200);
      const page = await record(t, next.url, "/events?topic=a", { transport, options: { firstDelay: 20 } });
      await until(page, () => record.errors.length >= 2);
      leave.abort();
      await until(page, () => record.client.state === "open");
      assert.deepEqual(new Set((await recorded(page)).errors), new Set(["refused: the server answered 429"]));
    });

    test(`misses and doubles nothing while the hub's connections are cut and the hub is away (${transport})`, { timeout }, async (t) => {
      const hub = await startHub(t);
      const proxy = await Proxy.start(t, hub, { cut, retryMs: 20 });
      const next = await Next.start(t, proxy);
      const page = await record(t, next.url, "/events?topic=a", { transport, options: { firstDelay: 20 } });
      await until(page, () => record.statuses.length > 0);
      await publish(hub, "a", 1, 200);
      await until(page, () => record.numbers.length >= 200);
      await hub.kill();
      await until(page, () => record.errors.filter((error) => error.endsWith("502")).length >= 2);
      await hub.restart();
      await publish(hub, "a", 201, 400);
      await until(page, () => record.numbers.length >= 400);
      const { numbers, statuses } = await recorded(page);
      assertContinuous(numbers, 1, 400);
      assert.ok(proxy.cuts > 1, `${proxy.cuts} cuts`);
      assert.deepEqual(new Set(statuses), new Set(["fresh", "resumed"]));
    });
  }
});
