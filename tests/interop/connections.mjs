// A browser can have six streams over HTTP/1.1, and many over HTTP/2.
//
//     connections.mjs HTTP/1.1-ORIGIN HTTP/2-ORIGIN
//
// Ends with an error when this is not so.

import assert from "node:assert/strict";

import { launch } from "../browser/chromium.mjs";

const [http1, http2] = process.argv.slice(2);
const browser = await launch();
process.on("SIGTERM", () => browser.close().finally(() => process.exit(1)));

/** A page with `count` streams, each of another topic. */
async function streams(origin, count) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  await page.goto(`${origin}/healthz`);
  await page.evaluate((count) => {
    window.sources = Array.from({ length: count }, (_, n) => new EventSource(`/events?topic=connections&n=${n}`));
    window.pings = sources.map(() => 0);
    sources.forEach((source, n) => { source.onmessage = () => { window.pings[n] += 1; }; });
  }, count);
  return page;
}

/** Waits until this many of them are open. */
const open = (page, count) =>
  page.waitForFunction((count) => sources.filter(({ readyState }) => readyState === EventSource.OPEN).length === count, count, { polling: 10 });

try {
  const few = await streams(http1, 7);
  await open(few, 6);
  // A request gets no connection, and neither does the seventh stream while the other six get an event.
  await few.evaluate(() => {
    window.answered = false;
    window.answer = fetch("/healthz").then(() => { window.answered = true; });
  });
  const published = await fetch(`${http1}/publish?topic=connections`, { method: "POST", body: "ping" });
  assert.equal((await published.json()).subscribers, 6);
  await few.waitForFunction(() => pings.filter((count) => count === 1).length === 6, null, { polling: 10 });
  assert.deepEqual(
    await few.evaluate(() => ({ answered, waiting: sources.filter(({ readyState }) => readyState === EventSource.CONNECTING).length })),
    { answered: false, waiting: 1 },
  );
  // When two streams end, both get a connection.
  await few.evaluate(() => { sources.filter(({ readyState }) => readyState === EventSource.OPEN).slice(0, 2).forEach((source) => source.close()); });
  await few.evaluate(() => answer);
  await open(few, 5);

  const many = await streams(http2, 50);
  await open(many, 50);
  const status = await many.evaluate(async () => (await fetch("/healthz")).status);
  assert.equal(status, 200);
  assert.equal(await many.evaluate(() => performance.getEntriesByType("navigation")[0].nextHopProtocol), "h2");
} finally {
  await browser.close();
}
