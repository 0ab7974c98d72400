// The browser client in Chromium, at the example hub, over networks that break.

import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { describe, test } from "node:test";

import { defer } from "./cleanup.mjs";
import { ClientPage, RECORD, SCRIPT } from "./client.mjs";
import { assertContinuous } from "./continuity.mjs";
import * as firefox from "./firefox.mjs";
import { hubAndBrowser } from "./fixture.mjs";
import { Hub } from "./hub.mjs";
import { Proxy } from "./proxy.mjs";
import { Publisher } from "./publisher.mjs";

const timeout = 120_000;
const LIMIT_MS = 20_000;
const start = hubAndBrowser({ timeout });

/** A cut after any byte of the response: of its head, between events, in the middle of one. */
const anywhere = (bytes) => ({ after: 1 + randomInt(bytes), how: randomInt(2) === 0 ? "end" : "reset" });

/** Resolves when the hub has this many clients. */
async function untilClients(hub, count) {
  const end = performance.now() + LIMIT_MS;
  let total;
  do ({ total } = await hub.clients());
  while (total !== count && performance.now() < end);
  assert.equal(total, count, "clients of the hub");
}

/** Publishes `first`, … `last` in order, to topics in turn, each of which retains a thousand. */
async function publish(hub, topics, first, last, onProgress = async () => {}) {
  for (let n = first; n <= last; n++) {
    await hub.publish(topics[n % topics.length], JSON.stringify({ n }), "tick");
    if (n % 50 === 0) await onProgress(n);
  }
}

const TOPICS = ["a", "b", "c", "d", "e"];
const EVENTS = `/events?${TOPICS.map((topic) => `topic=${topic}`).join("&")}&heartbeat=ping`;

describe("the browser client", { concurrency: 1 }, () => {
  for (const transport of ["fetch", "eventSource", "tabs"]) {
    test(`misses nothing over a network that breaks after any byte (${transport})`, { timeout }, async (t) => {
      const { hub, context } = await start(t);
      const proxy = await Proxy.start(t, hub, { cut: () => anywhere(8_000), retryMs: 20 });
      const client = await ClientPage.open(t, context, proxy.url, EVENTS, { transport, firstDelay: 20 });
      await publish(hub, TOPICS, 1, 1_000);
      const { numbers, statuses } = await client.number(1_000);
      assertContinuous(numbers, 1, 1_000);
      assert.ok(proxy.cuts > 5, `${proxy.cuts} cuts`);
      assert.deepEqual(new Set(statuses), new Set(["fresh", "resumed"]));
    });
  }

  test("is told of a reset when its last event is of another history", { timeout }, async (t) => {
    const { hub, context } = await start(t);
    const client = await ClientPage.open(t, context, hub.url, `${EVENTS}&history=all`, { firstDelay: 20 });
    await publish(hub, TOPICS, 1, 3);
    await client.number(3);
    await hub.restart();
    await client.until(() => record.statuses.at(-1) === "reset");
    const { errors, states } = await client.record();
    assert.ok(errors.length > 0 && errors.every((error) => error.startsWith("network")), errors.join());
    assert.equal(states.at(-1), "open");
  });

  for (const transport of ["fetch", "eventSource", "tabs"]) {
    test(`stops when its topic is finished, and at 204 when it comes again (${transport})`, { timeout }, async (t) => {
      const { hub, context } = await start(t);
      const client = await ClientPage.open(t, context, hub.url, "/events?topic=job&history=all", { transport });
      await hub.publish("job", '{"n":1}', "tick");
      await client.number(1);
      await hub.finish("job", "");
      await client.until(() => record.states.at(-1) === "closed");
      const { ended, lastEventId, errors } = await client.record();
      assert.deepEqual([ended, errors], [["finished"], []]);
      await client.page.evaluate(({ transport, lastEventId }) => {
        const { connect, eventSourceTransport, fetchTransport, tabs } = tidings;
        const transports = { fetch: fetchTransport, eventSource: eventSourceTransport(), tabs: tabs() };
        globalThis.again = connect("/events?topic=job", { transport: transports[transport], lastEventId });
        again.onFinished(() => { again.isFinished = true; });
      }, { transport, lastEventId });
      await client.until(() => again.isFinished && again.state === "closed" && !again.error);
      await untilClients(hub, 0);
    });
  }

  test("comes back after the ends that are none for good: the end of a right", { timeout }, async (t) => {
    const { hub, context } = await start(t);
    const proxy = await Proxy.start(t, hub, { retryMs: 20 });
    const client = await ClientPage.open(t, context, proxy.url, `${EVENTS}&expires_in=1`);
    new Publisher(t, hub, { topics: TOPICS, everyMs: 20 });
    await client.until(() => record.statuses.length >= 2);
    const { numbers, statuses, ended, errors } = await client.record();
    assertContinuous(numbers, numbers[0], numbers.at(-1));
    assert.deepEqual([statuses.slice(0, 2), ended[0], errors], [["fresh", "resumed"], "expired", []]);
  });

  test("comes back after the ends that are none for good: a limit", { timeout }, async (t) => {
    const { context } = await start(t);
    const hub = await Hub.start(t, ["--streams-per-principal", "1"]);
    const proxy = await Proxy.start(t, hub, { retryMs: 20 });
    const first = await ClientPage.open(t, context, proxy.url, `${EVENTS}&principal=ada`);
    const second = ClientPage.open(t, context, proxy.url, `${EVENTS}&principal=ada`);
    // It is turned away until the first one has gone.
    while (proxy.requests.length < 4) await hub.clients();
    await first.page.close();
    const { ended, states } = await (await second).record();
    assert.deepEqual([new Set(ended), states.at(-1)], [new Set(["limited"]), "open"]);
  });

  test("does not come back when another one has taken its place", { timeout }, async (t) => {
    const { context } = await start(t);
    const hub = await Hub.start(t, ["--streams-per-principal", "1", "--over-limit", "supersede"]);
    const first = await ClientPage.open(t, context, hub.url, `${EVENTS}&principal=ada`);
    const second = await ClientPage.open(t, context, hub.url, `${EVENTS}&principal=ada`);
    await first.until(() => record.states.at(-1) === "closed");
    assert.deepEqual((await first.record()).ended, ["superseded"]);
    assert.equal((await second.record()).state, "open");
  });

  test("comes back soon when the network does", { timeout }, async (t) => {
    const { hub, context } = await start(t);
    // As long as it is away, there is one attempt in ten minutes.
    const client = await ClientPage.open(t, context, hub.url, EVENTS, { maxDelay: 600_000 });
    await context.setOffline(true);
    const [{ id }] = (await hub.clients()).clients;
    await hub.cut(id);
    await client.until(() => record.states.at(-1) === "waiting");
    await publish(hub, TOPICS, 1, 3);
    await context.setOffline(false);
    const { numbers } = await client.number(3);
    assertContinuous(numbers, 1, 3);
  });

  test("gives its connection back when its page is left, and goes on when it returns", { timeout }, async (t) => {
    const { hub, context } = await start(t);
    const client = await ClientPage.open(t, context, hub.url, EVENTS, { transport: "tabs" });
    const publisher = new Publisher(t, hub, { topics: TOPICS, everyMs: 20 });
    await client.number(10);
    await client.page.goto(`${hub.url}/position`);
    await untilClients(hub, 0);
    await client.page.evaluate(() => { history.back(); }).catch(() => {});   // the page may be gone before it answers
    // Playwright's own `waitForFunction` knows only pages that load.
    const end = performance.now() + LIMIT_MS;
    let record;
    do record = await client.record().catch(() => undefined);
    while (!(record?.state === "open") && performance.now() < end);
    assert.ok(record?.states.includes("paused"), "the page was in the back/forward cache");
    const last = await publisher.stop();
    const { numbers, statuses } = await client.number(last);
    assertContinuous(numbers, numbers[0], last);
    assert.deepEqual(statuses, ["fresh", "resumed"]);
    await untilClients(hub, 1);
  });
});

describe("eight tabs", () => {
  test("have one connection, and each gets 5,000 events once and in order, whatever happens to the leader", { timeout: 2 * timeout }, async (t) => {
    const { hub, context } = await start(t);
    const proxy = await Proxy.start(t, hub, { cut: () => anywhere(20_000), retryMs: 20 });
    const open = () => ClientPage.open(t, context, proxy.url, EVENTS, { transport: "tabs", firstDelay: 20 });
    // Over HTTP/1.1, the seventh could not even load if each had its own.
    const first = await Promise.all(Array.from({ length: 8 }, open));
    await untilClients(hub, 1);

    let tabs = [...first];
    const gone = [];
    const ends = { closed: 0, crashed: 0, left: 0, other: 0 };
    /** Takes a tab away, mostly the leader, and opens another. */
    const replace = async () => {
      // One that died with the process of another.
      tabs = tabs.filter((tab) => !tab.isCrashed);
      const all = await Promise.all(tabs.map(async (tab) => ({ tab, record: await tab.record() })));
      const leader = all.find(({ record }) => record.streams > 0);
      const { tab, record } = randomInt(4) > 0 && leader ? leader : all[randomInt(all.length)];
      if (record.streams === 0) ends.other += 1;
      gone.push(record.numbers);
      tabs = tabs.filter((other) => other !== tab);
      const way = ["closed", "crashed", "left"][randomInt(3)];
      ends[way] += 1;
      if (way === "closed") await tab.page.close();
      else if (way === "crashed") await tab.crash();
      else await tab.page.goto(`${proxy.url}/position`);
      while (tabs.filter((tab) => !tab.isCrashed).length < 8) tabs.push(await open());
    };
    // Meanwhile, events are published, and not all of them before the first tab is there.
    let replacing = Promise.resolve();
    let isReplacing = false;
    await publish(hub, TOPICS, 1, 4_900, async (n) => {
      if (n % 500 === 0) await replacing;
      if (isReplacing) return;
      isReplacing = true;
      replacing = replacing.then(replace).finally(() => { isReplacing = false; });
      replacing.catch(() => {});   // it is awaited
    });
    await replacing;
    await publish(hub, TOPICS, 4_901, 5_000);
    assert.ok(gone.length >= 9, `${gone.length} tabs were replaced`);
    const records = await Promise.all(tabs.map((tab) => tab.number(5_000)));
    for (const [i, { numbers, statuses }] of records.entries()) {
      assertContinuous(numbers, first.includes(tabs[i]) ? 1 : numbers[0], 5_000);
      assert.ok(!statuses.includes("reset"), "nothing was lost");
    }
    for (const numbers of gone) assertContinuous(numbers, numbers[0] ?? 1, numbers.at(-1) ?? 0);
    await untilClients(hub, 1);
    t.diagnostic(`${JSON.stringify(ends)}, ${proxy.cuts} cuts, ${proxy.requests.length} streams`);
  });
});

/** Runs in the page: opens a frame with a client of its own. To locks and channels it is a tab. */
const OPEN_FRAME = ({ script, record, argument }) => new Promise((resolve) => {
  const frame = document.createElement("iframe");
  frame.src = "/healthz";
  frame.onload = () => {
    const element = frame.contentDocument.createElement("script");
    element.textContent = `${script}\n(${record})(${JSON.stringify(argument)})`;
    frame.contentDocument.documentElement.append(element);
    resolve();
  };
  document.body.append(frame);
});

/** What a frame has recorded. Marionette's scripts see the browser's own side of a window, unless they say otherwise. */
const RECORDS = "const records = () => Array.from(frames, (frame) => (frame.wrappedJSObject ?? frame).record)";

describe("in Firefox", { skip: process.env.FIREFOX ? false : "FIREFOX is not set" }, () => {
  for (const transport of ["fetch", "eventSource", "tabs"]) {
    test(`nothing is missed over a network that breaks after any byte (${transport})`, { timeout }, async (t) => {
      const hub = await Hub.start(t);
      // Over plain HTTP, an EventSource gives up on a connection that is closed inside of the head.
      const proxy = await Proxy.start(t, hub, { cut: () => anywhere(8_000), retryMs: 20 });
      const browser = await firefox.launch();
      defer(t, () => browser.close());
      const page = await browser.newPage();
      await page.goto(`${proxy.url}/healthz`);
      const argument = { path: EVENTS, transport, options: { firstDelay: 20 } };
      for (let n = 0; n < (transport === "tabs" ? 4 : 1); n++) await page.evaluate(OPEN_FRAME, { script: SCRIPT, record: String(RECORD), argument });
      /** What a function of the frames' records says. */
      const ask = (question, value) => page.evaluate(`(value) => { ${RECORDS}; return (${question})(records(), value); }`, value);
      const until = async (condition, value) => { while (!await ask(condition, value)); };
      await until((records) => records.every((record) => record?.statuses.length > 0));
      let isLeaving = Promise.resolve();
      await publish(hub, TOPICS, 1, 600, async (n) => {
        // The leader goes.
        if (transport !== "tabs" || n % 200 !== 0) return;
        isLeaving = isLeaving.then(() => ask((records) => {
          const leader = records.findIndex(({ streams }) => streams > 0);
          if (leader >= 0) frames[leader].frameElement.remove();
        }));
      });
      await isLeaving;
      await until((records, last) => records.every(({ numbers }) => numbers.at(-1) >= last), 600);
      const all = await ask((records) => records.map(({ numbers, statuses }) => ({ numbers: [...numbers], statuses: [...statuses] })));
      assert.ok(all.length > 0 && all.length <= 4);
      for (const { numbers, statuses } of all) {
        assertContinuous(numbers, 1, 600);
        assert.ok(!statuses.includes("reset"));
      }
      if (transport === "tabs") await untilClients(hub, 1);
    });
  }
});
