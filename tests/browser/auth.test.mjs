// What Chromium does with a stream of another origin: with cookies, with tokens, and without permission.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";

import { launch } from "./chromium.mjs";
import { defer } from "./cleanup.mjs";
import { Server } from "./server.mjs";

const timeout = 60_000;
const CLOSED = 2;
const ACCESS = { ada: "Bearer access-of-ada", grace: "Bearer access-of-grace" };

let browser;
before(async () => { browser = await launch(); }, { timeout });
after(async () => { await browser?.close(); });

class Auth extends Server {
  static variable = "TIDINGS_AUTH";
  static greeting = /^Tidings auth example on [\w-]+: http:\/\/127\.0\.0\.1:(\d+)\/$/;

  async #post(path, headers, form = {}) {
    const answer = await fetch(`${this.url}${path}`, { method: "POST", headers, body: new URLSearchParams(form) });
    assert.ok(answer.ok, `${path}: ${answer.status}`);
    return answer;
  }

  /** Publishes to a user. */
  async notify(user, text) {
    await this.#post(`/notify/${user}`, { authorization: ACCESS.grace }, { text });
  }

  async queryToken(user) {
    return (await (await this.#post("/token", { authorization: ACCESS[user] })).json()).token;
  }

  /** Ends all streams of a user, who logs out in another session. */
  async cut(user) {
    await this.#post("/logout", { authorization: ACCESS[user] });
  }
}

/**
 * A site with an empty page, a server, and a new browser context that shows the page. The page is `http://HOST:…`: with
 * 127.0.0.1 it is of another origin than the server, but of the same site; with localhost it is of another site.
 */
async function setUp(t, host, { allowed = true } = {}) {
  const site = createServer((_, response) => response.setHeader("content-type", "text/html").end("<!doctype html>"));
  defer(t, () => site.close());
  await once(site.listen(0, "127.0.0.1"), "listening");
  const origin = `http://${host}:${site.address().port}`;
  const server = await Auth.start(t, allowed ? ["--allow-origin", origin] : []);
  const context = await browser.newContext();
  defer(t, () => context.close());
  const page = await context.newPage();
  await page.goto(origin);
  return { server, context, page };
}

/** Logs the browser in, not the page, so this needs no permission. */
async function logIn(context, server) {
  const answer = await context.request.post(`${server.url}/login`, { form: { user: "ada", password: "engine" } });
  assert.equal(answer.status(), 204);
}

/** Opens an EventSource in a page. */
async function follow(page, url, init) {
  const log = await page.evaluateHandle(({ url, init }) => {
    const log = { source: new EventSource(url, init), statuses: [], texts: [] };
    log.source.addEventListener("tidings:status", ({ data }) => log.statuses.push(JSON.parse(data).status));
    log.source.addEventListener("notification", ({ data }) => log.texts.push(JSON.parse(data).text));
    return log;
  }, { url, init });
  const until = (condition, value) => page.waitForFunction(condition, { log, value }, { timeout: 0, polling: 10 });
  return {
    connections: (count) => until(({ log, value }) => log.statuses.length >= value, count),
    texts: async (count) => {
      await until(({ log, value }) => log.texts.length >= value, count);
      return log.evaluate(({ texts }) => texts);
    },
    statuses: () => log.evaluate(({ statuses }) => statuses),
    givenUp: () => until(({ log, value }) => log.source.readyState === value, CLOSED),
  };
}

/** Asserts that the browser gives up on a stream, and that the page saw nothing of it. */
async function assertRefused(stream) {
  await stream.givenUp();
  assert.deepEqual(await stream.statuses(), []);
}

const SAME_SITE = "127.0.0.1";
const OTHER_SITE = "localhost";
const withCredentials = { withCredentials: true };

describe("an EventSource with credentials, of another origin", () => {
  test("gets the events of the user who logged in there, and resumes", { timeout }, async (t) => {
    const { server, page } = await setUp(t, SAME_SITE);
    await page.evaluate(async (url) => {
      const body = new URLSearchParams({ user: "ada", password: "engine" });
      const { status } = await fetch(`${url}/login`, { method: "POST", credentials: "include", body });
      if (status !== 204) throw new Error(`logging in: ${status}`);
    }, server.url);
    const stream = await follow(page, `${server.url}/events`, withCredentials);
    await stream.connections(1);
    await server.notify("grace", "not for ada");
    await server.notify("ada", "one");
    assert.deepEqual(await stream.texts(1), ["one"]);
    await server.cut("ada");
    await server.notify("ada", "two");
    await stream.connections(2);
    assert.deepEqual(await stream.texts(2), ["one", "two"]);
    assert.deepEqual(await stream.statuses(), ["fresh", "resumed"]);
  });

  test("is refused without the permission", { timeout }, async (t) => {
    const { server, context, page } = await setUp(t, SAME_SITE, { allowed: false });
    await logIn(context, server);
    await assertRefused(await follow(page, `${server.url}/events`, withCredentials));
    // The same session is accepted where no permission is needed.
    const own = await context.newPage();
    await own.goto(`${server.url}/streams`);
    const stream = await follow(own, "/events");
    await stream.connections(1);
  });

  test("gives up when its user has logged out", { timeout }, async (t) => {
    const { server, context, page } = await setUp(t, SAME_SITE);
    await logIn(context, server);
    const stream = await follow(page, `${server.url}/events`, withCredentials);
    await stream.connections(1);
    await page.evaluate((url) => fetch(`${url}/logout`, { method: "POST", credentials: "include" }), server.url);
    await stream.givenUp();
    assert.deepEqual(await stream.statuses(), ["fresh"]);
  });

  test("is not authenticated on a page of another site, which gets no cookie", { timeout }, async (t) => {
    const { server, context, page } = await setUp(t, OTHER_SITE);
    await logIn(context, server);
    await assertRefused(await follow(page, `${server.url}/events`, withCredentials));
  });
});

describe("an EventSource without credentials, of another origin", () => {
  test("sends no cookie, and is refused", { timeout }, async (t) => {
    const { server, context, page } = await setUp(t, SAME_SITE);
    await logIn(context, server);
    await assertRefused(await follow(page, `${server.url}/events`));
  });

  test("gets the events of the user whose query token it has, on any site", { timeout }, async (t) => {
    for (const host of [SAME_SITE, OTHER_SITE]) {
      const { server, page } = await setUp(t, host);
      const token = await server.queryToken("ada");
      const stream = await follow(page, `${server.url}/events?token=${token}`);
      await stream.connections(1);
      await server.notify("ada", "one");
      assert.deepEqual(await stream.texts(1), ["one"]);
    }
  });
});

describe("fetch with an access token, of another site", () => {
  /** Reads a stream until a text is in it. */
  const read = async ({ url, headers, text }) => {
    const response = await fetch(url, { headers });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let body = "";
    while (!body.includes(text)) {
      const { done, value } = await reader.read();
      if (done) throw new Error(`the stream ended before ${text}: ${body}`);
      body += value;
    }
    await reader.cancel();
    return body;
  };

  test("passes its preflight, and resumes", { timeout }, async (t) => {
    const { server, page } = await setUp(t, OTHER_SITE);
    const url = `${server.url}/events`;
    const headers = { authorization: ACCESS.ada };
    const fresh = await page.evaluate(read, { url, headers, text: "\n\n" });
    const [, id] = /^id: (.+)$/m.exec(fresh);
    await server.notify("grace", "not for ada");
    await server.notify("ada", "missed");
    const resumed = await page.evaluate(read, { url, headers: { ...headers, "last-event-id": id }, text: "missed" });
    assert.match(resumed, /"resumed"/);
    assert.doesNotMatch(resumed, /not for ada/);
  });

  test("fails without the permission", { timeout }, async (t) => {
    const { server, page } = await setUp(t, OTHER_SITE, { allowed: false });
    const headers = { authorization: ACCESS.ada };
    await assert.rejects(page.evaluate(read, { url: `${server.url}/events`, headers, text: "\n\n" }), /Failed to fetch/);
  });
});
