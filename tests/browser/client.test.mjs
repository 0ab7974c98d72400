// The browser client in Chromium, at the example hub, over networks that break.

import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { describe, test } from "node:test";

import { ClientPage } from "./client.mjs";
import { assertContinuous } from "./continuity.mjs";
import { hubAndBrowser } from "./fixture.mjs";
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

/** Publishes 1, 2, 3 … `last`, several at a time, to topics in turn, each of which retains a thousand. In order. */
async function publish(hub, topics, last, onProgress = () => {}) {
  for (let n = 1; n <= last; n++) {
    await hub.publish(topics[n % topics.length], JSON.stringify({ n }), "tick");
    if (n % 50 === 0) onProgress(n);
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
      await publish(hub, TOPICS, 1_000);
      const { numbers, statuses } = await client.number(1_000);
      assertContinuous(numbers, 1, 1_000);
      assert.ok(proxy.cuts > 5, `${proxy.cuts} cuts`);
      assert.deepEqual(new Set(statuses), new Set(["fresh", "resumed"]));
    });
  }

  test("is told of a reset when its last event is of another history", { timeout }, async (t) => {
    const { hub, context } = await start(t);
    const client = await ClientPage.open(t, context, hub.url, `${EVENTS}&history=all`, { firstDelay: 20 });
    await publish(hub, TOPICS, 3);
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
    // Meanwhile, events are published.
    const replacements = [];
    let isReplacing = false;
    await publish(hub, TOPICS, 5_000, (n) => {
      if (isReplacing || n > 4_900) return;
      isReplacing = true;
      replacements.push(replace().finally(() => { isReplacing = false; }));
    });
    await Promise.all(replacements);
    assert.ok(replacements.length >= 10, `${replacements.length} tabs were replaced`);
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
