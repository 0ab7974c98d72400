// What Chromium's EventSource makes of a hub's stream.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { hubAndBrowser } from "./fixture.mjs";
import { position, Stream } from "./stream.mjs";

const timeout = 60_000;
const setUp = hubAndBrowser({ timeout });

describe("an EventSource", () => {
  test("gets named events under their names, and others as `message`", { timeout }, async (t) => {
    const { hub, context } = await setUp(t);
    const stream = await Stream.open(t, context, hub.url, "/events?topic=a", ["price", "order.created", "naïve 🌊"]);
    await hub.publish("a", "1", "price");
    await hub.publish("a", "2");
    await hub.publish("a", "3", "order.created");
    await hub.publish("a", "unheard", "nobody-listens-to-this");
    await hub.publish("a", "4", "naïve 🌊");
    const events = await stream.published(4);
    assert.deepEqual(
      events.map(({ type, data }) => [type, data]),
      [["price", "1"], ["message", "2"], ["order.created", "3"], ["naïve 🌊", "4"]],
    );
  });

  test("gets data of any text as it was published", { timeout }, async (t) => {
    const { hub, context } = await setUp(t);
    const stream = await Stream.open(t, context, hub.url, "/events?topic=a");
    // Published data, and what the browser makes of it if the two differ: each of CRLF, LF and CR ends a line, and a line
    // end is "\n" in an event.
    const texts = [
      ["plain"],
      ["two\nlines"],
      ["\n"],
      ["\n\nends with two\n\n"],
      ["CRLF\r\nLF\nCR\rend", "CRLF\nLF\nCR\nend"],
      ["\r\r\n\n", "\n\n\n"],
      [""],
      [" one leading space"],
      ["   three leading spaces\n two\n\t and a tab"],
      ["trailing space "],
      [":like a comment"],
      ["data: like a field\nid: 1\nevent: x\nretry: 1"],
      ["\u{feff}byte order mark"],
      ["emoji 👩‍🚀🏴󠁧󠁢󠁥󠁮󠁧󠁿 astral 𝕏 combining e\u{301}"],
      ["line separators\u{2028}and\u{2029}and\u{85}are no line ends"],
      ["a NUL \0 in the middle"],
      ["語".repeat(100_000)],
    ];
    for (const [text] of texts) await hub.publish("a", text);
    const events = await stream.published(texts.length);
    assert.deepEqual(events.map(({ data }) => data), texts.map(([text, read = text]) => read));
  });

  test("gets events named `error` and `open` with their data, and stays connected", { timeout }, async (t) => {
    const { hub, context } = await setUp(t);
    const stream = await Stream.open(t, context, hub.url, "/events?topic=a", ["error", "open"]);
    await hub.publish("a", '{"type":"overloaded"}', "error");
    await hub.publish("a", "sesame", "open");
    await hub.publish("a", "still here");
    const events = await stream.published(3);
    assert.deepEqual(
      events.map(({ type, data, readyState }) => [type, data, readyState]),
      [["error", '{"type":"overloaded"}', 1], ["open", "sesame", 1], ["message", "still here", 1]],
    );
    assert.deepEqual(await stream.connection(), { opened: 1, lost: 0, readyState: 1 });
  });

  test("gets a status event first, with JSON data and an id", { timeout }, async (t) => {
    const { hub, context } = await setUp(t);
    const { id } = await hub.publish("a", "before");
    const stream = await Stream.open(t, context, hub.url, "/events?topic=a");
    await hub.publish("a", "after");
    await stream.published(1);
    const [first, second] = await stream.events();
    assert.equal(first.type, "tidings:status");
    const { status, client, ...rest } = JSON.parse(first.data);
    assert.equal(status, "fresh");
    assert.deepEqual(rest, {});
    assert.equal(second.data, "after");
    // The position from which it follows: after earlier events and before later ones.
    const positions = [id, first.lastEventId, second.lastEventId].map(position);
    assert.ok(positions[0] <= positions[1] && positions[1] < positions[2], `${positions}`);
    // The hub knows the client by this id.
    const { clients } = await hub.clients();
    assert.deepEqual(clients.map(({ id }) => id), [client]);
  });

  test("gets a heartbeat that is an event, and keeps its last id", { timeout }, async (t) => {
    const { hub, context } = await setUp(t);
    const stream = await Stream.open(t, context, hub.url, "/events?topic=a&heartbeat=ping", ["ping"]);
    const { id } = await hub.publish("a", "before");
    // It comes after 15 seconds.
    const [, ping] = await stream.published(2);
    assert.deepEqual([ping.type, ping.data, ping.lastEventId], ["ping", "", id]);
  });

  test("gets an id with every event, and the ids rise", { timeout }, async (t) => {
    const { hub, context } = await setUp(t);
    const stream = await Stream.open(t, context, hub.url, "/events?topic=a");
    const published = [];
    for (let n = 0; n < 50; n++) published.push((await hub.publish("a", String(n))).id);
    const events = await stream.published(50);
    assert.deepEqual(events.map(({ lastEventId }) => lastEventId), published);
    const [status] = await stream.statuses();
    const positions = [status.id, ...published].map(position);
    for (let i = 1; i < positions.length; i++) assert.ok(positions[i] > positions[i - 1], `${positions}`);
  });

  test("gets two topics in one stream in the hub's order", { timeout }, async (t) => {
    const { hub, context } = await setUp(t);
    const stream = await Stream.open(t, context, hub.url, "/events?topic=a&topic=b");
    // Many concurrent events, so that the topics race with each other.
    const published = await Promise.all(
      Array.from({ length: 200 }, async (_, n) => {
        const data = `${"ab"[n % 2]} ${n}`;
        const { id } = await hub.publish("ab"[n % 2], data);
        return { data, lastEventId: id };
      }),
    );
    published.sort((one, other) => position(one.lastEventId) - position(other.lastEventId));
    const events = await stream.published(200);
    assert.deepEqual(events.map(({ data, lastEventId }) => ({ data, lastEventId })), published);
  });

  test("gets nothing of a topic that it did not ask for", { timeout }, async (t) => {
    const { hub, context } = await setUp(t);
    const stream = await Stream.open(t, context, hub.url, "/events?topic=a");
    await hub.publish("b", "for others");
    await hub.publish("a", "for this one");
    const events = await stream.published(1);
    assert.deepEqual(events.map(({ data }) => data), ["for this one"]);
  });

  test("gets the history that it asks for, and then live events", { timeout }, async (t) => {
    const { hub, context } = await setUp(t);
    for (const data of ["1", "2", "3"]) await hub.publish("a", data);
    const last = await Stream.open(t, context, hub.url, "/events?topic=a&history=2");
    const all = await Stream.open(t, context, hub.url, "/events?topic=a&history=all");
    const none = await Stream.open(t, context, hub.url, "/events?topic=a");
    await hub.publish("a", "4");
    const read = async (stream, count) => (await stream.published(count)).map(({ data }) => data);
    assert.deepEqual(await read(last, 3), ["2", "3", "4"]);
    assert.deepEqual(await read(all, 4), ["1", "2", "3", "4"]);
    assert.deepEqual(await read(none, 1), ["4"]);
  });

  test("gets the same in two tabs", { timeout }, async (t) => {
    const { hub, context } = await setUp(t);
    const path = "/events?topic=a&topic=b";
    const tabs = await Promise.all([1, 2].map(() => Stream.open(t, context, hub.url, path, ["tick"])));
    for (let n = 0; n < 60; n++) await hub.publish("ab"[n % 2], `${n}\n\u{1f4e8}`, n % 3 ? "tick" : undefined);
    const [one, other] = await Promise.all(tabs.map((stream) => stream.published(60)));
    assert.deepEqual(one, other);
    const [[first], [second]] = await Promise.all(tabs.map((stream) => stream.statuses()));
    assert.notEqual(first.client, second.client);
    assert.equal((await hub.clients()).total, 2);
  });

  test("leaves the hub's registry when its tab is closed", { timeout }, async (t) => {
    const { hub, context } = await setUp(t);
    await Stream.open(t, context, hub.url, "/events?topic=a");
    assert.equal((await hub.clients()).total, 1);
    await Promise.all(context.pages().map((page) => page.close()));
    while ((await hub.clients()).total > 0);   // the test's own limit ends it
  });
});
