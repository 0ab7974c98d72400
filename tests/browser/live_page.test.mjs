// The live page of the example hub.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { launch } from "./chromium.mjs";
import { defer } from "./cleanup.mjs";
import { Hub } from "./hub.mjs";
import { Proxy } from "./proxy.mjs";

const timeout = 90_000;
let browser;
before(async () => { browser = await launch(); }, { timeout });
after(async () => { await browser?.close(); });

/**
 * The page in a new tab. When the test ends, the console may have only messages that `provoked` matches, and there may be
 * no exception and no violation of the content security policy.
 */
async function open(t, origin, { provoked = [], ...options } = {}) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(0);   // the test has a time limit
  const complaints = [];
  page.on("console", (message) => {
    const text = `${message.text()} at ${message.location().url}`;
    if (["error", "warning"].includes(message.type()) && !provoked.some((known) => known.test(text))) complaints.push(text);
  });
  page.on("pageerror", (error) => complaints.push(`thrown: ${error.message}`));
  await page.exposeFunction("complain", (text) => complaints.push(text));
  await page.addInitScript(() => {
    addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => {
      complain(`refused by the content security policy: ${violatedDirective}, ${blockedURI}`);
    });
  });
  defer(t, async () => {
    await context.close();
    assert.deepEqual(complaints, []);
  });
  await page.goto(origin);
  return { page, complaints, ...controls(page) };
}

function controls(page) {
  const text = (id) => page.locator(`#${id}`).innerText();
  return {
    text,
    number: async (id) => Number(await text(id)),
    state: (state) => page.locator(`#state[data-state="${state}"]`).waitFor(),
    /** Resolves when this many more ticks have come. */
    ticks: async (more) => {
      const to = Number(await text("ticks")) + more;
      await page.waitForFunction((to) => Number(document.getElementById("ticks").textContent) >= to, to);
    },
    /** Resolves to the match when the text of an element matches. */
    says: async (id, pattern) => {
      await page.waitForFunction(
        ({ id, source, flags }) => new RegExp(source, flags).test(document.getElementById(id).innerText),
        { id, source: pattern.source, flags: pattern.flags },
      );
      return pattern.exec(await text(id));
    },
    /** Presses "Cut my connection". Resolves to the number of replayed events when the page is live again. */
    cut: async () => {
      await page.locator('#cut[aria-disabled="false"]').click();
      await page.locator('#state[data-state="reconnecting"]').waitFor();
      await page.locator('#state[data-state="live"]').waitFor();
      const pattern = /^Away for [\d.]+ s: (\d+) events? replayed, (\d+) missing, (\d+) doubled\.$/;
      await page.waitForFunction((source) => new RegExp(source).test(document.getElementById("outcome").innerText), pattern.source);
      return pattern.exec(await text("outcome")).slice(1).map(Number);
    },
  };
}

// Chromium's own console messages for a lost connection.
const LOST = [/net::ERR_CONNECTION_REFUSED/, /net::ERR_INCOMPLETE_CHUNKED_ENCODING/, /net::ERR_CONNECTION_RESET/, /net::ERR_EMPTY_RESPONSE/];

describe("the live page", { concurrency: 2 }, () => {
  test("shows numbers that change", { timeout }, async (t) => {
    const hub = await Hub.start(t);
    const { page, text, number, state, ticks, says } = await open(t, hub.url);
    await state("live");
    await ticks(3);
    const before = { price: await text("price"), id: await text("last-id"), chart: await picture(page, "chart") };
    assert.match(before.price, /^\d+\.\d\d$/);
    assert.match(before.id, /^[0-9a-z]+-\d+$/);
    await page.waitForFunction((price) => document.getElementById("price").textContent !== price, before.price);
    await ticks(3);
    assert.notEqual(await text("last-id"), before.id);
    assert.notEqual(await picture(page, "chart"), before.chart);
    await page.waitForFunction(() => Number(document.getElementById("job-bar").getAttribute("aria-valuenow")) >= 3);
    await page.locator("#notifications li").first().waitFor();
    await says("clients-total", /^1$/);
    assert.deepEqual([await number("missing"), await number("doubled"), await number("reconnects"), await number("resets")], [0, 0, 0, 0]);
    await says("status", /^fresh$/);
    await says("outcome", /^A new client: it began with \d+ events? of history\.$/);
  });

  test("comes back from a cut with what it missed, and nothing is missing or doubled", { timeout }, async (t) => {
    const hub = await Hub.start(t);
    const { number, state, ticks, says, cut } = await open(t, hub.url);
    await state("live");
    await ticks(3);
    for (const reconnects of [1, 2]) {
      const before = await number("ticks");
      const [replayed, missing, doubled] = await cut();
      // It was away for at least two seconds, with five ticks a second on an idle machine.
      assert.ok(replayed >= 5, `${replayed} replayed`);
      assert.ok(await number("ticks") >= before + 5);
      assert.deepEqual([missing, doubled], [0, 0]);
      await says("status", /^resumed$/);
      await ticks(3);
      assert.deepEqual([await number("reconnects"), await number("missing"), await number("doubled"), await number("resets")], [reconnects, 0, 0, 0]);
    }
  });

  test("shows a loss", { timeout }, async (t) => {
    const hub = await Hub.start(t);
    // The proxy removes two ticks.
    const rewrite = (text) => text.replace(/data(: ?\{"n":1[01],)/g, "lost$1");
    const proxy = await Proxy.start(t, hub, { rewrite });
    const { page, number, says } = await open(t, proxy.url);
    await says("missing", /^2$/);
    assert.equal(await number("doubled"), 0);
    assert.equal(await page.locator(".count.wrong").innerText(), "2 missing");
  });

  test("publishes, and shows what comes back through the stream", { timeout }, async (t) => {
    const hub = await Hub.start(t);
    const { page, state, says } = await open(t, hub.url);
    await state("live");
    await page.locator("#publish-form button[type=submit]").click();
    await says("publish-result", /^Published as [0-9a-z]+-\d+ to 1 subscriber\.$/);
    await page.locator("#notifications li", { hasText: "Hello from this page" }).waitFor();

    await page.locator("#publish-data").fill("just words \u{1f4e8}");
    await page.locator("#publish-form button[type=submit]").click();
    await page.locator("#notifications li", { hasText: "just words \u{1f4e8}" }).waitFor();
  });

  test("shows markup as text", { timeout }, async (t) => {
    const hub = await Hub.start(t);
    const { page, state } = await open(t, hub.url);
    await state("live");
    const title = "<img src=x onerror=alert(1)><script>alert(2)</script>";
    await hub.publish("notifications", JSON.stringify({ title, text: title, level: title }), "notification");
    await page.locator("#notifications li", { hasText: title }).waitFor();
    assert.equal(await page.locator("#notifications img, #notifications script").count(), 0);
  });

  test("says what is wrong with a bad topic", { timeout }, async (t) => {
    const hub = await Hub.start(t);
    const { page, state, says } = await open(t, hub.url, { provoked: [/status of 400.*\/publish/] });
    await state("live");
    await page.locator("#publish-topic").fill("two words");
    await page.locator("#publish-form button[type=submit]").click();
    await says("publish-result", /^topic contains ' ' at byte 3$/);
    assert.equal(await page.locator("#publish-topic").getAttribute("aria-invalid"), "true");
    await page.locator("#publish-topic").fill("notifications");
    await page.locator("#publish-form button[type=submit]").click();
    await says("publish-result", /^Published as/);
    assert.equal(await page.locator("#publish-topic").getAttribute("aria-invalid"), null);
  });

  test("shows a reset when the hub was killed and restarted, and is live", { timeout }, async (t) => {
    const hub = await Hub.start(t);
    const { page, number, state, ticks, says } = await open(t, hub.url, { provoked: LOST });
    await state("live");
    await ticks(3);
    await hub.kill();
    await state("reconnecting");
    await hub.restart();
    await state("live");
    await says("notice", /^Reset \(unknown\): .*restarted/);
    assert.ok(await page.locator("#notice").isVisible());
    await says("status", /^reset$/);
    await ticks(3);
    assert.deepEqual([await number("resets"), await number("missing"), await number("doubled")], [1, 0, 0]);
    // It is a normal client again.
    assert.equal((await hub.clients()).total, 1);
  });

  test("reconnects after an answer that makes EventSource give up", { timeout }, async (t) => {
    const hub = await Hub.start(t);
    let down = false;
    const proxy = await Proxy.start(t, hub, { refuse: () => down });
    const { number, state, ticks } = await open(t, proxy.url, { provoked: [...LOST, /status of 503/] });
    await state("live");
    await ticks(3);
    down = true;
    const [{ id }] = (await hub.clients()).clients;
    await hub.cut(id);
    await state("closed");
    down = false;
    await state("live");
    await ticks(3);
    assert.deepEqual([await number("missing"), await number("doubled"), await number("resets")], [0, 0, 0]);
  });

  test("tells published events from the browser's own", { timeout }, async (t) => {
    const hub = await Hub.start(t);
    const { page, text, number, state, says, cut } = await open(t, hub.url);
    await state("live");
    await says("outcome", /^A new client/);
    for (const name of ["open", "error"]) await hub.publish("notifications", "x", name);
    await hub.publish("notifications", "after both", "notification");
    await page.locator("#notifications li", { hasText: "after both" }).waitFor();
    assert.deepEqual([await text("state"), await text("status"), await number("reconnects")], ["Live", "fresh", 0]);

    // From here on, the page listens to them.
    for (const name of ["open", "error"]) {
      await page.locator("#publish-event").fill(name);
      await page.locator("#publish-form button[type=submit]").click();
      await says("publish-result", /^Published as [0-9a-z]+-\d+ to 1 subscriber\.$/);
    }
    const [, missing, doubled] = await cut();
    assert.deepEqual([missing, doubled, await number("reconnects"), await number("resets")], [0, 0, 1, 0]);
  });

  test("says why the server ends a stream", { timeout }, async (t) => {
    const hub = await Hub.start(t, ["--streams-per-topic", "1"]);
    const first = await open(t, hub.url);
    await first.state("live");
    const second = await open(t, hub.url);
    await second.says("notice", /^The server has ended this stream \(limited\): /);
    assert.ok(await second.page.locator("#notice").isVisible());
    assert.match(await second.text("state"), /^(Connecting|Reconnecting)$/);
  });

  test("stops when all topics are finished", { timeout }, async (t) => {
    const hub = await Hub.start(t, ["--demo", "false"]);
    const { state, says } = await open(t, hub.url);
    await state("live");
    for (const topic of ["ticker", "notifications", "job"]) await hub.finish(topic, "the end");
    await state("finished");
    await says("notice", /^The server has ended this stream \(finished\): /);
    await says("clients-total", /^0$/);
  });

  test("says that it started over, and was not away", { timeout }, async (t) => {
    const hub = await Hub.start(t);
    const rewrite = (text) => text.replace('"status":"fresh"', '"status":"reset"');
    const proxy = await Proxy.start(t, hub, { rewrite });
    const { says } = await open(t, proxy.url);
    await says("outcome", /^Started over with \d+ events?\.$/);
  });

  test("says how to publish from a terminal, where there is a token", { timeout }, async (t) => {
    const hub = await Hub.startWithToken(t, "s3cret");
    const { page, state } = await open(t, `${hub.url}/#token=s3cret`);
    await state("live");
    await page.locator("#publish-data").fill("@it's");
    const curl = `curl -H "authorization: Bearer $TIDINGS_TOKEN" --data-raw '@it'\\''s' '${hub.url}/publish?topic=notifications&event=notification'`;
    assert.equal(await page.locator("#curl").textContent(), curl);
  });

  test("draws any price", { timeout }, async (t) => {
    const hub = await Hub.start(t, ["--demo", "false"]);
    // With less motion, the chart follows the prices at once.
    const { page, state, says } = await open(t, hub.url, { reducedMotion: "reduce" });
    await state("live");
    await says("outcome", /^A new client/);
    for (const [n, price] of [-1e15, -1e15 + 0.125, 0, 1e300].entries()) {
      await hub.publish("ticker", JSON.stringify({ n, price }), "price");
      await says("ticks", new RegExp(`^${n + 1}$`));
      // It is drawn again when its size changes.
      await page.setViewportSize({ width: 1000 + n, height: 700 });
      await page.evaluate(() => new Promise((resolve) => { requestAnimationFrame(() => requestAnimationFrame(resolve)); }));
    }
  });

  test("runs only its own scripts", { timeout }, async (t) => {
    const hub = await Hub.start(t);
    const { page, complaints, state } = await open(t, hub.url, { provoked: [/Content Security Policy/i] });
    await state("live");
    await page.evaluate(() => {
      const script = document.createElement("script");
      script.textContent = "window.intruded = true";
      document.body.append(script);
    });
    assert.equal(await page.evaluate(() => window.intruded), undefined);
    while (complaints.length === 0) await page.evaluate(() => new Promise(requestAnimationFrame));
    // So the check at the end of each test can fail.
    assert.match(complaints.pop(), /^refused by the content security policy: script-src/);
  });
});

describe("the live page's looks", { concurrency: 2 }, () => {
  const folder = process.env.TIDINGS_SCREENSHOTS;
  for (const colorScheme of ["light", "dark"]) {
    for (const [width, height] of [[390, 844], [768, 1024], [1440, 900], [1920, 1080]]) {
      test(`fit ${colorScheme} at a width of ${width}`, { timeout }, async (t) => {
        const hub = await Hub.start(t);
        const { page, state, ticks, says, cut } = await open(t, hub.url, {
          colorScheme,
          viewport: { width, height },
          deviceScaleFactor: width === 390 ? 2 : 1,
        });
        await state("live");
        await ticks(15);
        await cut();
        await page.locator("#publish-form button[type=submit]").click();
        await page.locator("#notifications li", { hasText: "Hello from this page" }).waitFor();
        await ticks(8);
        await says("clients-total", /^1$/);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(wide <= width, `${wide} px wide`);
        if (folder) {
          await mkdir(folder, { recursive: true });
          await page.evaluate(() => scrollTo(0, 0));
          await page.screenshot({ path: join(folder, `live-${colorScheme}-${width}.png`), fullPage: true });
        }
        assert.deepEqual(await page.evaluate(shownOfIds), { epochs: "whole", positions: "whole" });
        // If the longest id has no room, its position has.
        await page.evaluate(() => { for (const epoch of document.querySelectorAll(".epoch")) epoch.textContent = "e".repeat(55); });
        assert.deepEqual(await page.evaluate(shownOfIds), { epochs: "cut off", positions: "whole" });
      });
    }
  }
});

/** What is drawn on a canvas. */
const picture = (page, id) => page.evaluate((id) => document.getElementById(id).toDataURL(), id);

/** Whether the ids on the wire are whole or cut off. */
function shownOfIds() {
  const isWhole = (part) => {
    const id = part.closest(".wire-id");
    const [inner, outer] = [part, id].map((element) => element.getBoundingClientRect());
    return part.scrollWidth <= part.clientWidth && inner.right <= outer.right + 0.5 && inner.left >= outer.left - 0.5 && outer.right <= innerWidth;
  };
  const all = (name) => ([...document.querySelectorAll(`.wire-id .${name}`)].every(isWhole) ? "whole" : "cut off");
  return { epochs: all("epoch"), positions: all("position") };
}
