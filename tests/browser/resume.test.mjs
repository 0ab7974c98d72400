// When a stream ends, Chromium's EventSource comes back with its last id after the time that the hub told it (about three
// seconds). Nothing that was published in between may be missing or doubled.

import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { describe, test } from "node:test";

import { defer } from "./cleanup.mjs";
import { assertContinuous } from "./continuity.mjs";
import * as firefox from "./firefox.mjs";
import { hubAndBrowser } from "./fixture.mjs";
import { Hub } from "./hub.mjs";
import { Proxy } from "./proxy.mjs";
import { Publisher } from "./publisher.mjs";
import { position, Stream } from "./stream.mjs";

const timeout = 120_000;
const setUp = hubAndBrowser({ timeout });

/** The `Last-Event-ID` header of a request's head. */
const lastEventId = (head) => /^last-event-id: ?(.*)\r$/im.exec(head)?.[1];

// They wait more than they work, so they run concurrently.
describe("a stream that was cut", { concurrency: true }, () => {
  test("continues without a gap, again and again, while events are published", { timeout }, async (t) => {
    const { hub, context } = await setUp(t);
    const stream = await Stream.open(t, context, hub.url, "/events?topic=a", ["tick"]);
    const publisher = new Publisher(t, hub, { topics: ["a"], everyMs: 20 });
    const cuts = 5;
    for (let cut = 1; cut <= cuts; cut++) {
      // At a random moment: after one to thirty more events.
      await stream.number(publisher.last + 1 + Math.floor(Math.random() * 30));
      const { client } = (await stream.statuses()).at(-1);
      await hub.cut(client);
      await stream.connections(cut + 1);
    }
    const last = await publisher.stop();
    assertContinuous(await stream.number(last), 1, last);
    const statuses = await stream.statuses();
    assert.deepEqual(statuses.map(({ status }) => status), ["fresh", ...Array(cuts).fill("resumed")]);
    assert.deepEqual(await stream.connection(), { opened: cuts + 1, lost: cuts, readyState: 1 });
    // Each connection is another client.
    assert.equal(new Set(statuses.map(({ client }) => client)).size, cuts + 1);
  });

  test("gets what two topics published in the meantime in the hub's order", { timeout }, async (t) => {
    const { hub, context } = await setUp(t);
    const stream = await Stream.open(t, context, hub.url, "/events?topic=a&topic=b", ["tick"]);
    const publisher = new Publisher(t, hub, { topics: ["a", "b"], everyMs: 20 });
    for (let cut = 1; cut <= 2; cut++) {
      await stream.number(publisher.last + 5);
      await hub.cut((await stream.statuses()).at(-1).client);
      await stream.connections(cut + 1);
    }
    const last = await publisher.stop();
    assertContinuous(await stream.number(last), 1, last);
    const positions = (await stream.published(last)).map(({ lastEventId }) => position(lastEventId));
    for (let i = 1; i < positions.length; i++) assert.ok(positions[i] > positions[i - 1], `${positions}`);
  });

  test("before its first event resumes from the id of the status event", { timeout }, async (t) => {
    const { hub, context } = await setUp(t);
    const proxy = await Proxy.start(t, hub);
    const stream = await Stream.open(t, context, proxy.url, "/events?topic=quiet");
    const [first] = await stream.statuses();
    await hub.cut(first.client);
    await stream.losses(1);
    // Now there is no client.
    for (const data of ["1", "2", "3"]) await hub.publish("quiet", data);
    assert.deepEqual((await stream.published(3)).map(({ data }) => data), ["1", "2", "3"]);
    const [, second] = await stream.statuses();
    assert.equal(second.status, "resumed");
    assert.deepEqual(proxy.requests.map(lastEventId), [undefined, first.id]);
  });

  test("in two tabs continues in both with the same events", { timeout }, async (t) => {
    const { hub, context } = await setUp(t);
    const open = () => Stream.open(t, context, hub.url, "/events?topic=a", ["tick"]);
    const tabs = [await open(), await open()];
    const publisher = new Publisher(t, hub, { topics: ["a"], everyMs: 20 });
    for (const stream of tabs) {
      await stream.number(publisher.last + 10);
      await hub.cut((await stream.statuses()).at(-1).client);
    }
    for (const stream of tabs) await stream.connections(2);
    const last = await publisher.stop();
    for (const stream of tabs) assertContinuous(await stream.number(last), 1, last);
    const [one, other] = await Promise.all(tabs.map((stream) => stream.published(last)));
    assert.deepEqual(one, other);
  });

  test("is reset when the hub was killed and restarted", { timeout }, async (t) => {
    const { hub, context } = await setUp(t);
    const stream = await Stream.open(t, context, hub.url, "/events?topic=a");
    await hub.publish("a", "of the first life");
    await stream.published(1);
    const epoch = (id) => id.split("-")[0];

    await hub.kill();
    await stream.losses(1);
    await hub.restart();
    // Published while the browser waits, so it is retained; and when it is back, so it is live.
    const { id } = await hub.publish("a", "of the second life");
    const [first, second] = await stream.connections(2);
    await hub.publish("a", "live again");
    const events = await stream.published(3);

    assert.equal(first.status, "fresh");
    assert.deepEqual({ status: second.status, reason: second.reason }, { status: "reset", reason: "unknown" });
    assert.deepEqual(events.map(({ data }) => data), ["of the first life", "of the second life", "live again"]);
    assert.notEqual(epoch(second.id), epoch(first.id), "positions of another history mean nothing");
    assert.equal(epoch(second.id), epoch(id));
    assert.equal((await stream.connection()).readyState, 1);
  });

  test("is resumed from the new history's ids after a reset", { timeout }, async (t) => {
    const { hub, context } = await setUp(t);
    const stream = await Stream.open(t, context, hub.url, "/events?topic=a", ["tick"]);
    await hub.restart();
    const [, reset] = await stream.connections(2);
    assert.equal(reset.status, "reset");
    const publisher = new Publisher(t, hub, { topics: ["a"], everyMs: 20 });
    await stream.number(5);
    await hub.cut(reset.client);
    const [, , resumed] = await stream.connections(3);
    assert.equal(resumed.status, "resumed");
    const last = await publisher.stop();
    assertContinuous(await stream.number(last), 1, last);
  });

  test("that misses more than is retained gets a reset, and then everything that is retained", { timeout }, async (t) => {
    const { hub, context } = await setUp(t);
    let away = false;
    const proxy = await Proxy.start(t, hub, { cut: () => (away ? { after: 0, how: "reset" } : undefined), retryMs: 50 });
    const stream = await Stream.open(t, context, proxy.url, "/events?topic=a", ["tick"]);
    const numbers = (first, last) => Array.from({ length: last - first + 1 }, (_, i) => first + i);
    const publish = async (first, last) => {
      for (const n of numbers(first, last)) await hub.publish("a", JSON.stringify({ n }), "tick");
    };
    await publish(1, 3);
    await stream.number(3);
    away = true;
    await hub.cut((await stream.statuses())[0].client);
    await stream.losses(1);
    // A topic keeps 1,000 events.
    await publish(4, 1_100);
    away = false;
    const [, second] = await stream.connections(2);
    await publish(1_101, 1_110);
    const seen = await stream.number(1_110);
    assert.deepEqual({ status: second.status, reason: second.reason }, { status: "reset", reason: "trimmed" });
    assert.deepEqual(seen.slice(0, 3), [1, 2, 3]);
    assertContinuous(seen.slice(3), seen[3], 1_110);
    assert.ok(1_110 - seen[3] + 1 >= 1_000, `it starts at ${seen[3]}`);
  });
});

// A stream whose filter hides every event brings their ids with its heartbeats, in blocks without data.
describe("an id that comes without data", { concurrency: true }, () => {
  /**
   * Hides an event from a page, and ends its stream when it was brought a later id. Returns that of its status, that one, and the
   * requests' last ids.
   */
  const hide = async (t, hub, page) => {
    const seen = new EventEmitter();
    const [idIsThere, isBack] = [once(seen, "id"), once(seen, "back")];
    const proxy = await Proxy.start(t, hub, {
      retryMs: 50,
      rewrite: (text) => {
        const block = /\n\nid: (\S+)\n\n/.exec(text);
        if (block) seen.emit("id", block[1]);
        return text;
      },
      rewriteRequest: (head) => {
        if (proxy.requests.length === 2) seen.emit("back");
        return head;
      },
    });
    await page.goto(`${proxy.url}/healthz`);
    const [status, { client }] = await page.evaluate((path) => new Promise((resolve) => {
      const source = new EventSource(path);
      source.addEventListener("tidings:status", ({ data, lastEventId }) => resolve([lastEventId, JSON.parse(data)]));
    }), "/events?topic=a&filter.role=admin");
    const hidden = await hub.publish("a", "for admins");
    // With a heartbeat, after 15 seconds.
    const [brought] = await idIsThere;
    assert.ok(position(brought) >= position(hidden.id));
    await hub.cut(client);
    await isBack;
    return { status, brought, requests: proxy.requests.map(lastEventId) };
  };

  test("is the last id in Chromium", { timeout }, async (t) => {
    const { hub, context } = await setUp(t);
    const { brought, requests } = await hide(t, hub, await context.newPage());
    assert.deepEqual(requests, [undefined, brought]);
  });

  const skip = process.env.FIREFOX ? false : "FIREFOX is not set";
  test("is ignored by Firefox", { skip, timeout }, async (t) => {
    const hub = await Hub.start(t);
    const browser = await firefox.launch();
    defer(t, () => browser.close());
    const { status, requests } = await hide(t, hub, await browser.newPage());
    assert.deepEqual(requests, [undefined, status]);
  });
});
