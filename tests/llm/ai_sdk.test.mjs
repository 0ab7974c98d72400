// The AI SDK's `useChat` in Chromium, with `resume: true`.

import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

import { launch } from "../browser/chromium.mjs";
import { defer } from "../browser/cleanup.mjs";
import { Answers, countTo, timeout } from "./answers.mjs";

const HTML = '<!doctype html><meta charset="utf-8"><title>Chat</title><div id="root"></div><script type="module" src="/chat.js"></script>';
let browser, script;
before(async () => {
  const { outputFiles: [file] } = await build({
    entryPoints: [fileURLToPath(new URL("chat.jsx", import.meta.url))],
    bundle: true, write: false, format: "esm", jsx: "automatic", define: { "process.env.NODE_ENV": '"production"' }, logLevel: "error",
  });
  script = file.text;
  browser = await launch();
}, { timeout });
after(async () => { await browser?.close(); });

async function start(t) {
  const answers = await Answers.start(t);
  const context = await browser.newContext();
  defer(t, () => context.close());
  await context.route(/\/chat(\?.*)?$/, (route) => route.request().method() === "GET" ? route.fulfill({ contentType: "text/html", body: HTML }) : route.fallback());
  await context.route("**/chat.js", (route) => route.fulfill({ contentType: "text/javascript", body: script }));
  return { answers, context };
}

class Chat {
  page;
  /** How it was answered when it asked for a stream to resume. */
  resumed;

  static async open(context, origin, { quiet = false } = {}) {
    const chat = new this();
    chat.page = await context.newPage();
    chat.page.setDefaultTimeout(0);   // the test has a time limit
    const resumed = chat.page.waitForResponse(/\/stream(\?.*)?$/);
    await chat.page.goto(`${origin}/chat?id=ada${quiet ? "&quiet" : ""}`);
    chat.resumed = (await resumed).status();
    return chat;
  }

  async ask(text) {
    await this.status("ready");
    await this.page.evaluate((text) => void globalThis.chat.sendMessage({ text }), text);
  }

  status(status) {
    return this.page.locator(`main[data-status="${status}"]`).waitFor({ state: "attached" });
  }

  /** Resolves when the answer has begun to show. */
  begun() {
    return this.page.locator('[data-role="assistant"]', { hasText: /\d/ }).waitFor();
  }

  /** Asserts that there is one answer, and resolves to its text. */
  async answer() {
    const answers = await this.page.locator('[data-role="assistant"]').allTextContents();
    assert.equal(answers.length, 1, answers.join("\n"));
    return answers[0];
  }
}

describe("useChat", { concurrency: 2 }, () => {
  test("shows the whole answer once, also when it is loaded again, and there is nothing to resume before", { timeout }, async (t) => {
    const { answers, context } = await start(t);
    const chat = await Chat.open(context, answers.url);
    await chat.ask("count to 50");
    await chat.begun();
    await chat.status("ready");
    assert.equal(await chat.answer(), countTo(50));
    assert.equal(chat.resumed, 204);
    // A fresh client of a finished answer gets it whole; one that says that it has it, nothing.
    for (const [quiet, status] of [[false, 200], [true, 204]]) {
      const again = await Chat.open(context, answers.url, { quiet });
      assert.equal(again.resumed, status);
      await again.status("ready");
      assert.equal(await again.answer(), countTo(50));
    }
  });

  test("loses and doubles nothing however often it is loaded again in the middle", { timeout }, async (t) => {
    const { answers, context } = await start(t);
    const chat = await Chat.open(context, answers.url);
    await chat.ask("count to 400");
    for (let round = 0; round < 6; round++) {
      const upTo = 10 + randomInt(300);
      await chat.page.waitForFunction((n) => document.querySelector('[data-role="assistant"]')?.textContent.includes(`${n} `), upTo);
      await chat.page.reload();
    }
    await chat.page.waitForFunction(() => globalThis.chat?.status === "ready" && globalThis.chat.messages.at(-1)?.parts[0].text.endsWith(" 400 "));
    assert.equal(await chat.answer(), countTo(400));
  });

  for (const quiet of [false, true]) {
    test(`loses nothing when the answer ends while it is loaded (${quiet ? "with `after`" : "as it is"})`, { timeout }, async (t) => {
      const { answers, context } = await start(t);
      const first = await Chat.open(context, answers.url);
      await first.ask("count to 10000");
      await first.begun();
      // Its messages have come before the end of the answer, and its stream comes after that.
      await context.route(/\/stream/, async (route) => {
        assert.equal(await route.request().frame().locator('[data-role="assistant"]').count(), 0);
        await answers.ask("/api/chat/ada/stream", undefined, "DELETE");
        await first.status("ready");
        await route.continue();
      });
      const chat = await Chat.open(context, answers.url, { quiet });
      assert.equal(chat.resumed, 200);
      await chat.begun();
      await chat.status("ready");
      assert.equal(await chat.answer(), await first.answer());
    });
  }

  test("goes on after cuts without being loaded again", { timeout }, async (t) => {
    const { answers, context } = await start(t);
    // The whole answer has about 30,000 bytes.
    const proxy = await answers.behindCuts(t, (cuts) => cuts < 3 ? 10_000 : 60_000, { isStream: (head) => /^(POST \/api\/chat |GET \/api\/chat\/ada\/stream)/.test(head) });
    const chat = await Chat.open(context, proxy.url);
    await chat.ask("count to 400");
    for (;;) {
      await chat.page.waitForFunction(() => ["ready", "error"].includes(globalThis.chat.status) && globalThis.chat.messages.length > 0);
      const { status, text } = await chat.page.evaluate(() => ({ status: globalThis.chat.status, text: globalThis.chat.messages.at(-1).parts[0].text }));
      if (status === "ready" && text.endsWith(" 400 ")) break;
      await chat.page.evaluate(() => globalThis.chat.resumeStream());
    }
    assert.equal(await chat.answer(), countTo(400));
    assert.ok(proxy.cuts >= 3);
  });

  test("is stopped by a request of its own, in every tab", { timeout }, async (t) => {
    const { answers, context } = await start(t);
    const chat = await Chat.open(context, answers.url);
    await chat.ask("count to 10000");
    await chat.begun();
    const other = await Chat.open(context, answers.url);
    await other.begun();
    assert.equal((await answers.ask("/api/chat/ada/stream", undefined, "DELETE")).status, 204);
    await Promise.all([chat.status("ready"), other.status("ready")]);
    const text = await chat.answer();
    assert.ok(countTo(10_000).startsWith(text) && text.length < countTo(5_000).length);
    assert.equal(await other.answer(), text);
    const again = await Chat.open(context, answers.url);
    await again.begun();
    assert.equal(await again.answer(), text);
    // The next question has an answer of its own.
    await chat.ask("count to 3");
    await chat.page.waitForFunction((text) => globalThis.chat.status === "ready" && globalThis.chat.messages.at(-1).parts[0]?.text === text, countTo(3));
  });

  test("is told that the model has failed, after what it has said", { timeout }, async (t) => {
    const { answers, context } = await start(t);
    const chat = await Chat.open(context, answers.url);
    await chat.ask("count to 5 and fail");
    await chat.status("error");
    assert.equal(await chat.answer(), countTo(5));
    assert.match(await chat.page.getByRole("alert").textContent(), /lost its thread/);
    assert.equal((await answers.ask("/api/chat", { id: "ada", messages: [] })).status, 400);
  });
});
