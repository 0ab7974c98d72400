// The console of the example hub.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { launch } from "./chromium.mjs";
import { defer } from "./cleanup.mjs";
import { Hub } from "./hub.mjs";
import { Stream } from "./stream.mjs";

const timeout = 60_000;
const TOKEN = "the-token-of-this-test";
let browser;
before(async () => { browser = await launch(); }, { timeout });
after(async () => { await browser?.close(); });

/**
 * The console in a new tab. When the test ends, there may be no message in the browser's console but those of failed requests
 * that `provoked` matches, no exception and no violation of the content security policy; and the token in no address.
 */
async function open(t, { provoked = /^$/, ...options } = {}) {
  const hub = await Hub.startWithToken(t, TOKEN, ["--demo", "false"]);
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(0);   // the test has a time limit
  const complaints = [];
  page.on("console", (message) => {
    const text = message.text();
    if (["error", "warning"].includes(message.type()) && !provoked.test(text)) complaints.push(text);
  });
  page.on("pageerror", (error) => complaints.push(`thrown: ${error.message}`));
  page.on("request", (request) => {
    if (request.url().includes(TOKEN)) complaints.push(`the token is in ${request.url()}`);
    if (!request.url().startsWith(hub.url)) complaints.push(`something else is loaded: ${request.url()}`);
  });
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
  await page.goto(`${hub.url}/console`);
  await page.locator("#login").waitFor();
  return { hub, context, page };
}

// Chromium's own message for a refused request.
const UNAUTHORIZED = /status of 401/;

async function logIn(page, token = TOKEN) {
  await page.getByLabel("Token").fill(token);
  await page.keyboard.press("Enter");
}

/** The console, with somebody who is logged in. */
async function enter(t, options = {}) {
  const opened = await open(t, { provoked: UNAUTHORIZED, ...options });
  await logIn(opened.page);
  await opened.page.locator('#state[data-state="live"]').waitFor();
  return opened;
}

describe("the console", { concurrency: 2 }, () => {
  test("asks for the token, and keeps nothing of it that a script could read", { timeout }, async (t) => {
    const { hub, context, page } = await open(t, { provoked: UNAUTHORIZED });
    assert.ok(await page.locator("#console").isHidden());
    await logIn(page, "wrong");
    await page.locator("#login-result", { hasText: "That did not work: token is wrong." }).waitFor();
    await logIn(page);
    await page.locator('#state[data-state="live"]').waitFor();
    assert.ok(await page.locator("#login").isHidden());
    assert.equal(await page.evaluate(() => document.cookie), "");
    assert.equal(await page.evaluate(() => document.documentElement.innerHTML + JSON.stringify({ ...localStorage, ...sessionStorage })).then((all) => all.includes("the-token")), false);
    const [cookie] = await context.cookies(`${hub.url}/console`);
    assert.deepEqual([cookie.httpOnly, cookie.sameSite, cookie.path], [true, "Strict", "/console"]);
    // The session outlives the page.
    await page.reload();
    await page.locator('#state[data-state="live"]').waitFor();
    await page.getByRole("button", { name: "Log out" }).click();
    await page.locator("#login").waitFor();
    assert.deepEqual(await context.cookies(`${hub.url}/console`), []);
  });

  test("draws the figures live", { timeout }, async (t) => {
    const { hub, context, page } = await enter(t);
    const value = (chart) => page.locator(`#chart-${chart} b`).first();
    await value("clients").filter({ hasText: /^0$/ }).waitFor();
    await Stream.open(t, context, hub.url, "/events?topic=orders");
    await value("clients").filter({ hasText: /^1$/ }).waitFor();
    // An id of another history is a reset.
    await Stream.open(t, context, hub.url, "/events?topic=orders&lastEventId=other-1");
    await page.locator("#chart-resets b").nth(2).filter({ hasText: /^1$/ }).waitFor();
    for (let n = 0; n < 20; n++) await hub.publish("orders", "x");
    const row = page.locator("#topics tr", { hasText: "orders" });
    await row.locator("td").nth(1).filter({ hasText: /^[1-9]/ }).waitFor();
    assert.equal(await row.locator("td").nth(2).innerText(), "2");
    await page.locator("#chart-events path[d*=L]").waitFor({ state: "attached" });
    await page.locator("#nodes tr", { hasText: "(this)" }).filter({ hasText: "ready" }).waitFor();
    await page.getByText("All metrics").click();
    await page.locator("#metrics tr", { hasText: "tidings_events_total" }).filter({ hasText: "20" }).waitFor();
  });

  test("lists clients, finds one, and closes it from the keyboard", { timeout }, async (t) => {
    const { hub, context, page } = await enter(t);
    const his = await Stream.open(t, context, hub.url, "/events?topic=a&principal=bob");
    const hers = await Stream.open(t, context, hub.url, `/events?topic=a&principal=${encodeURIComponent("<b>ada</b>")}`);
    await page.locator("#clients tr", { hasText: "bob" }).waitFor();
    await page.getByLabel("Search").fill("ADA");
    await page.locator("#clients-total", { hasText: "1 of 2 found" }).waitFor();
    const row = page.locator("#clients tr");
    assert.equal(await row.count(), 1);
    assert.equal(await row.locator("td").nth(1).innerText(), "<b>ada</b>");
    const [{ client }] = await hers.statuses();
    await row.getByRole("button", { name: `Close ${client}` }).focus();
    await page.keyboard.press("Enter");
    await page.locator("#clients-result", { hasText: `The stream of ${client} was ended.` }).waitFor();
    // It comes back by itself, as another client.
    await hers.connections(2);
    assert.equal((await his.statuses()).length, 1);
    await page.locator("#clients td", { hasText: (await hers.statuses())[1].client }).waitFor();
  });

  test("reads along with a topic, and shows what is in it as text", { timeout }, async (t) => {
    const { hub, page } = await enter(t, { provoked: /status of 40[01]|ERR_INCOMPLETE_CHUNKED/ });
    const markup = '<img src="x" onerror="complain(1)"><script>complain(2)</script>';
    await hub.publish("orders:1", "the first");
    await page.getByLabel("Topic, or pattern with *").fill("orders:*");
    await page.keyboard.press("Enter");
    const event = (text) => page.locator("#tail li", { has: page.getByText(text, { exact: true }) });
    await event("the first").waitFor();
    await hub.publish("orders:2", markup, "created");
    await event(markup).waitFor();
    assert.equal(await page.locator("#tail img, #tail script").count(), 0);
    assert.equal(await event(markup).locator(".name").innerText(), "created");
    await hub.publish("orders:2", "two\nlines");
    await event("two\nlines").waitFor();
    // A cut is not the end of it.
    const { clients } = await hub.clients();
    await hub.cut(clients.find(({ principal }) => principal === "tidings-console").id);
    await hub.publish("orders:3", "after the cut");
    await event("after the cut").waitFor();
    assert.equal(await event("two\nlines").count(), 1);
    await page.getByRole("button", { name: "Stop" }).click();
    while ((await hub.clients()).total > 0);   // the test's own limit ends it
    // So is the end of a topic.
    await page.getByLabel("Topic, or pattern with *").fill("import");
    await page.keyboard.press("Enter");
    await page.locator("#tail li").waitFor();
    await hub.finish("import", "the last");
    await event("the last").waitFor();
    await page.locator("#tail-state", { hasText: "the topic is finished." }).waitFor();
    // A mistake is said.
    await page.getByLabel("Topic, or pattern with *").fill("two words");
    await page.keyboard.press("Enter");
    await page.locator("#tail-state", { hasText: "topic pattern contains ' ' at byte 3." }).waitFor();
  });

  test("asks for the token again when the session has ended elsewhere", { timeout }, async (t) => {
    const { context, page } = await enter(t);
    await context.clearCookies();
    await page.locator("#login").waitFor();
    assert.ok(await page.locator("#console").isHidden());
    assert.equal(await page.locator("#login-result").innerText(), "The session has expired.");
  });

  for (const width of [390, 1440]) {
    for (const colorScheme of ["light", "dark"]) {
      test(`fits into ${width} pixels, ${colorScheme}`, { timeout }, async (t) => {
        const { hub, context, page } = await enter(t, { viewport: { width, height: 900 }, colorScheme, reducedMotion: "reduce" });
        const name = "a-long-name-".repeat(15);
        await Stream.open(t, context, hub.url, `/events?topic=${name}&topic=b&principal=${name}`);
        await hub.publish(name, "word ".repeat(100) + "x".repeat(300));
        await page.locator("#clients td", { hasText: name }).first().waitFor();
        await page.getByLabel("Topic, or pattern with *").fill("*");
        await page.keyboard.press("Enter");
        await page.locator("#tail li").nth(1).waitFor();
        const wide = await page.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(wide <= width, `${wide} pixels wide`);
        if (process.env.TIDINGS_SCREENSHOTS) {
          await mkdir(process.env.TIDINGS_SCREENSHOTS, { recursive: true });
          await page.screenshot({ path: join(process.env.TIDINGS_SCREENSHOTS, `console-${width}-${colorScheme}.png`), fullPage: true });
        }
      });
    }
  }
});
