// The example's own page in Chromium.

import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { after, before, describe, test } from "node:test";

import { launch } from "../browser/chromium.mjs";
import { defer } from "../browser/cleanup.mjs";
import { Answers, countTo, timeout } from "./answers.mjs";

let browser;
before(async () => { browser = await launch(); }, { timeout });
after(async () => { await browser?.close(); });

async function start(t) {
  const answers = await Answers.start(t);
  const context = await browser.newContext();
  defer(t, () => context.close());
  return { answers, context };
}

async function open(context, url) {
  const page = await context.newPage();
  page.setDefaultTimeout(0);   // the test has a time limit
  await page.goto(url);
  return page;
}

async function ask(page, question) {
  await page.getByLabel("Question").fill(question);
  await page.getByRole("button", { name: "Ask" }).click();
}

const has = (page, text) => page.waitForFunction((text) => document.querySelector("output").textContent.includes(text), text);
const is = (page, state) => page.locator("#state", { hasText: state }).waitFor();
const shown = (page) => page.locator("output").textContent();

describe("the page", { concurrency: 2 }, () => {
  test("shows an answer once, however often it is loaded again in the middle", { timeout }, async (t) => {
    const { answers, context } = await start(t);
    const page = await open(context, answers.url);
    await ask(page, "count to 400");
    for (let round = 0; round < 6; round++) {
      await has(page, `${1 + randomInt(300)} `);
      await page.reload();
    }
    await is(page, "Done");
    assert.equal(await shown(page), countTo(400));
    assert.equal(await page.locator("#tokens").textContent(), "400 tokens");
    assert.equal(await page.getByRole("heading", { level: 2 }).textContent(), "count to 400");
    // It is finished.
    await page.reload();
    await is(page, "Done");
    assert.equal(await shown(page), countTo(400));
  });

  test("goes on after cuts", { timeout }, async (t) => {
    const { answers, context } = await start(t);
    const isStream = (head) => head.startsWith("GET /answers/");
    const proxy = await answers.behindCuts(t, 10_000, { isStream });
    const page = await open(context, proxy.url);
    await page.clock.install();   // it need not wait for its retry
    const asked = ask(page, "count to 400");
    const done = is(page, "Done").then(() => true);
    await asked;
    while (!await Promise.race([done, page.clock.runFor(1_000)]));
    assert.equal(await shown(page), countTo(400));
    assert.ok(proxy.cuts > 1, `${proxy.cuts} cuts`);
  });

  test("shows it in several tabs, each of which can stop it", { timeout }, async (t) => {
    const { answers, context } = await start(t);
    const page = await open(context, answers.url);
    await ask(page, "count to 10000");
    await has(page, "20 ");
    const tabs = [page];
    for (let n = 0; n < 3; n++) {
      const opened = context.waitForEvent("page");
      await page.getByRole("link", { name: "Another tab" }).click();
      tabs.push(await opened);
    }
    for (const tab of tabs) {
      tab.setDefaultTimeout(0);
      await has(tab, "50 ");
    }
    await tabs[2].getByRole("button", { name: "Stop" }).click();
    await Promise.all(tabs.map((tab) => is(tab, "Stopped")));
    const texts = await Promise.all(tabs.map(shown));
    assert.equal(new Set(texts).size, 1);
    assert.ok(countTo(10_000).startsWith(texts[0]));
    assert.equal(await page.getByRole("button", { name: "Stop" }).count(), 0);
  });

  test("says that the model has failed, and that an answer is not there", { timeout }, async (t) => {
    const { answers, context } = await start(t);
    const page = await open(context, answers.url);
    await ask(page, "count to 5 and fail");
    await is(page, "Failed");
    assert.equal(await shown(page), countTo(5));
    const other = await open(context, `${answers.url}/#${"0".repeat(32)}`);
    await is(other, "There is no such answer");
  });

  test("asks for answers only, whatever its address says", { timeout }, async (t) => {
    const { answers, context } = await start(t);
    const asked = [];
    context.on("request", (request) => asked.push(new URL(request.url()).pathname));
    const page = await open(context, `${answers.url}/#../api/chat/ada/stream`);
    await is(page, "There is no such answer");
    assert.deepEqual(asked.filter((path) => path.startsWith("/api")), []);
  });

  test("shows nothing of one answer under the address of another", { timeout }, async (t) => {
    const { answers, context } = await start(t);
    const page = await open(context, answers.url);
    const unknown = "0".repeat(32);
    // A token has come, and is not painted yet.
    const changed = page.evaluate((unknown) => new Promise((resolve) => {
      const { connect, ...others } = tidings;
      const withChange = (...of) => {
        const client = connect(...of);
        client.on("token", () => queueMicrotask(() => {
          history.replaceState(null, "", `#${unknown}`);
          dispatchEvent(new HashChangeEvent("hashchange"));
          requestAnimationFrame(resolve);
        }));
        return client;
      };
      window.tidings = { ...others, connect: withChange };
    }), unknown);
    await Promise.all([changed, ask(page, "count to 400")]);
    await is(page, "There is no such answer");
    assert.equal(await shown(page), "");
  });

  test("says that a question was not taken", { timeout }, async (t) => {
    const { answers, context } = await start(t);
    const page = await open(context, answers.url);
    await page.route("**/answers", (route) => route.fulfill({ status: 503, body: "try again later" }), { times: 1 });
    await ask(page, "count to 3");
    await page.getByRole("alert").waitFor();
    await ask(page, "count to 3");
    await is(page, "Done");
    assert.equal(await page.getByRole("alert").count(), 0);
  });
});
