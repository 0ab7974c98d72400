// A network that breaks anywhere: in the middle of an event, a field name, a character, or a chunk size. The browser must
// discard what is incomplete, come back with the id before it, and miss nothing.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { assertContinuous, flaws } from "./continuity.mjs";
import { hubAndBrowser } from "./fixture.mjs";
import { Proxy } from "./proxy.mjs";
import { Publisher } from "./publisher.mjs";
import { Stream } from "./stream.mjs";

const timeout = 120_000;
const setUp = hubAndBrowser({ timeout });

function shuffled(values) {
  for (let i = values.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [values[i], values[j]] = [values[j], values[i]];
  }
  return values;
}

/**
 * Every byte of the first `near` (head, status event, the first events), and some later bytes, in random order, so that
 * the browser never waits long for events.
 */
function cutsAfter(near) {
  const far = Array.from({ length: 40 }, () => near + Math.floor(Math.random() * 2_000));
  return shuffled([...Array(near).keys(), ...far]);
}

/** The id with which a stream was asked for. */
const asked = (head) => /last-event-id: (.*)/i.exec(head ?? "")?.[1];

/** An id's position; 0 for none. */
const position = (id) => Number(id?.split("-")[1] ?? 0);

// A topic retains a thousand events.
const FAR_AHEAD = 500;

/** What was received, and asked for, around the loss of a number. */
function around(lost, events, requests) {
  const at = events.findIndex(({ type, data }) => type === "tick" && JSON.parse(data).n > lost);
  const received = events.slice(Math.max(0, at - 6), at + 3).map(({ type, data, lastEventId }) => `${type} ${lastEventId} ${data}`);
  const ids = new Set(received.map((line) => line.split(" ")[1]));
  return JSON.stringify({ received, asked: requests.map(asked).filter((id) => ids.has(id)) });
}

const CASES = [
  { name: "with a reset", near: 500, cut: { how: "reset" } },
  // When a plain HTTP connection ends inside the head, Chromium treats the received part as the whole head. After a head
  // without the content type of a stream, an EventSource does not come back. A server can only send this field early:
  // after it, a cut does no harm.
  { name: "with an early end", near: 400, cut: { how: "end", from: "content-type: text/event-stream; charset=utf-8" } },
];

describe("a connection that breaks after any number of bytes", { concurrency: true }, () => {
  for (const { name, near, cut } of CASES) {
    test(`${name} loses and doubles no event`, { timeout }, async (t) => {
      const { hub, context } = await setUp(t);
      const cuts = cutsAfter(near).map((after) => ({ ...cut, after }));
      const count = cuts.length;
      // The first stream lasts for a while, and so does the one after all cuts.
      cuts.push({ ...cut, after: 1_000 });
      const proxy = await Proxy.start(t, hub, { cut: () => cuts.pop(), retryMs: 5 });
      const stream = await Stream.open(t, context, proxy.url, "/events?topic=a&topic=b", ["tick"]);
      // However slowly the browser comes back, what it has missed is there.
      const waits = (id) => position(id) > position(asked(proxy.requests.at(-1))) + FAR_AHEAD;
      const publisher = new Publisher(t, hub, { topics: ["a", "b"], everyMs: 5, waits });
      await stream.while(proxy.untilCut(1 + count));
      const last = await publisher.stop();
      await stream.number(last);
      const events = await stream.events();
      const seen = events.filter(({ type }) => type === "tick").map(({ data }) => JSON.parse(data).n);
      const { missing: [lost] } = flaws(seen, 1, last);
      if (lost !== undefined) t.diagnostic(around(lost, events, proxy.requests));
      assertContinuous(seen, 1, last);
      const [fresh, ...others] = await stream.statuses();
      assert.equal(fresh.status, "fresh");
      assert.deepEqual(others.filter(({ status }) => status !== "resumed"), []);
      assert.ok(others.length > count / 4, `only ${others.length} streams came as far as the status event`);
      t.diagnostic(`${proxy.cuts} cuts, ${last} events`);
    });
  }
});

describe("the checks", () => {
  // The proxy changes the stream without changing its length.
  const changed = async (t, rewrite) => {
    const { hub, context } = await setUp(t);
    const proxy = await Proxy.start(t, hub, { rewrite });
    const stream = await Stream.open(t, context, proxy.url, "/events?topic=a", ["tick"]);
    const publisher = new Publisher(t, hub, { topics: ["a"], everyMs: 5 });
    await stream.number(30);
    const last = await publisher.stop();
    return flaws(await stream.number(last), 1, last);
  };

  test("find a lost event", { timeout }, async (t) => {
    const lose = (text) => text.replace(/data(: ?\{"n":17\})/, "lost$1");
    assert.deepEqual(await changed(t, lose), { missing: [17], doubled: [], late: [], strange: [] });
  });

  test("find an event that comes twice", { timeout }, async (t) => {
    const repeat = (text) => text.replace('{"n":17}', '{"n":16}');
    assert.deepEqual(await changed(t, repeat), { missing: [17], doubled: [16], late: [], strange: [] });
  });
});
