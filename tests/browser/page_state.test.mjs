// A page that is rendered by the server, and goes on with the stream: however fast events are published, none is missing
// between the two, and none comes twice.

import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { describe, test } from "node:test";

import { defer } from "./cleanup.mjs";
import { flaws } from "./continuity.mjs";
import { Firehose } from "./firehose.mjs";
import { hubAndBrowser } from "./fixture.mjs";
import { Proxy } from "./proxy.mjs";

const timeout = 180_000;
const setUp = hubAndBrowser({ timeout });

const RENDERED = 1_000;
const PER_SECOND = 1_000;
const TABS = 4;
/** The server renders so many events, and a page is looked at when so many have come through its stream. */
const RENDERED_LINES = 20;
const STREAMED_LINES = 20;
// A topic retains a thousand events. With so many topics, they are there for as many seconds.
const TOPICS = Array.from({ length: 20 }, (_, n) => `page-${n}`);
const none = { missing: [], doubled: [], late: [], strange: [] };

const path = (topics) => `/rendered?${new URLSearchParams([...topics.map((topic) => ["topic", topic]), ["event", "tick"]])}`;

/**
 * Renders a page again and again in one tab, and runs its script each time. Resolves to the numbers that each shows.
 *
 * A page that is loaded in place of the one before would take ten times as long, and meet the server in the same way: one
 * request for the document, one for its script, and one for the stream.
 */
async function render(t, context, origin, count) {
  const page = await context.newPage();
  defer(t, () => page.close());
  await page.goto(`${origin}/healthz`);
  return page.evaluate(async ({ paths, count, lines }) => {
    const render = async (path, n) => {
      const html = await (await fetch(path)).text();
      const { body } = new DOMParser().parseFromString(html, "text/html");
      document.body.replaceWith(body);
      const list = document.getElementById("events");
      const enough = new Promise((resolve) => {
        new MutationObserver(() => { if (list.children.length >= lines) resolve(); }).observe(list, { childList: true });
      });
      // With another query, it is another module.
      await import(`/rendered.js?${n}`);
      await enough;
      // It closes its stream.
      dispatchEvent(new Event("pagehide"));
      return Array.from(list.children, (line) => JSON.parse(line.textContent).n);
    };
    const pages = [];
    while (pages.length < count) pages.push(await render(paths[pages.length % paths.length], pages.length));
    return pages;
    // By their names, and by a pattern.
  }, { paths: [path(TOPICS), path(["page-*"])], count, lines: RENDERED_LINES + STREAMED_LINES });
}

/** What is wrong with what a page shows: numbers without a gap from the first to the last. */
const found = (numbers) => flaws(numbers, numbers[0], Math.max(...numbers));

describe("a rendered page and its stream", () => {
  test("miss and double nothing, a thousand times, while up to a thousand events a second are published", { timeout }, async (t) => {
    const { hub, browser } = await setUp(t);
    const firehose = await Firehose.start(t, hub, { topics: TOPICS, perSecond: PER_SECOND });
    await firehose.published(RENDERED_LINES);
    // Each context has connections of its own.
    const tabs = await Promise.all(Array.from({ length: TABS }, async () => {
      const context = await browser.newContext();
      defer(t, () => context.close());
      return render(t, context, hub.url, RENDERED / TABS);
    }));
    const { published, seconds } = await firehose.stop();
    const pages = tabs.flat();
    assert.equal(pages.length, RENDERED);
    for (const numbers of pages) assert.deepEqual(found(numbers), none);
    // They were rendered while events came, and not before.
    const firsts = new Set(pages.map(([first]) => first));
    assert.ok(firsts.size > RENDERED / 2, `${firsts.size} different moments`);
    t.diagnostic(`${pages.length} pages in ${seconds.toFixed(1)} s, ${published} events`);
  });
});

describe("a rendered page behind a proxy", { concurrency: 2 }, () => {
  /** Opens it. While the gate is `down`, the proxy refuses requests for this path, and `refusals` tells of each. */
  async function open(t, path) {
    const { hub, context } = await setUp(t);
    const gate = { hub, down: false, refusals: new EventEmitter() };
    const isStream = (head) => head.startsWith(`GET ${path}`);
    const refuse = () => {
      if (gate.down) gate.refusals.emit("refusal");
      return gate.down;
    };
    const proxy = await Proxy.start(t, hub, { isStream, refuse });
    await hub.publish("a", "one");
    gate.page = await context.newPage();
    gate.page.setDefaultTimeout(0);   // the test has a time limit
    await gate.page.goto(`${proxy.url}/rendered?topic=a`);
    await hub.publish("a", "two");
    gate.shows = (...texts) => gate.page.waitForFunction(
      (texts) => JSON.stringify(Array.from(document.querySelectorAll("#events li"), (line) => line.textContent)) === texts,
      JSON.stringify(texts),
    );
    await gate.shows("one", "two");
    return gate;
  }

  test("goes on after an answer that makes EventSource give up", { timeout }, async (t) => {
    const gate = await open(t, "/events");
    const { hub, shows, refusals } = gate;
    const [{ id }] = (await hub.clients()).clients;
    gate.down = true;
    const refused = once(refusals, "refusal");
    await hub.cut(id);
    await refused;
    await hub.publish("a", "three");
    gate.down = false;
    await shows("one", "two", "three");
  });

  test("is rendered again after a reset when the server is there", { timeout }, async (t) => {
    const gate = await open(t, "/rendered");
    const { hub, page, shows, refusals } = gate;
    gate.down = true;
    const refused = once(refusals, "refusal");
    await hub.restart();
    await hub.publish("a", "three");
    await refused;
    await shows("one", "two");
    gate.down = false;
    await shows("three");
    assert.equal(await page.title(), "Rendered, and live");
  });
});

describe("the check", () => {
  /** What is found if the request for the stream is changed on its way, by `rewriteRequest(head, firehose)`. */
  async function changed(t, rewriteRequest) {
    const { hub, context } = await setUp(t);
    const firehose = await Firehose.start(t, hub, { topics: TOPICS, perSecond: PER_SECOND });
    await firehose.published(RENDERED_LINES);
    const proxy = await Proxy.start(t, hub, { rewriteRequest: (head) => rewriteRequest(head, firehose) });
    const pages = await render(t, context, proxy.url, 4);
    await firehose.stop();
    return pages.map(found);
  }

  test("finds the gap before a stream that begins live", { timeout }, async (t) => {
    const all = await changed(t, async (head, firehose) => {
      const live = head.replace("lastEventId=", "lastEventIx=");
      // It may come before anything is published that the page does not show.
      if (live !== head) await firehose.goesOn();
      return live;
    });
    for (const { missing, ...others } of all) {
      assert.ok(missing.length > 0);
      assert.deepEqual({ missing, ...others }, { ...none, missing });
    }
  });

  test("finds an event that is shown and sent, too", { timeout }, async (t) => {
    // The position before the page's.
    const all = await changed(t, (head) => head.replace(/(lastEventId=\w+-)(\d+)/, (_, id, position) => {
      return id + String(Number(position) - 1).padStart(position.length, "0");
    }));
    for (const flaws of all) assert.equal(flaws.doubled.length, 1, JSON.stringify(flaws));
  });
});
