// The route handler, as what asks it for streams sees it.

import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { describe, test } from "node:test";

import { defer } from "../browser/cleanup.mjs";
import { Hub } from "../browser/hub.mjs";
import { LIMIT_MS, Next, publish, timeout, untilClients } from "./next.mjs";

async function start(t, flags = []) {
  const hub = await Hub.start(t, ["--demo", "false", ...flags]);
  return { hub, next: await Next.start(t, hub) };
}

/** A hub that answers each request with `answer`, and its requests. */
async function fakeHub(t, answer) {
  const requests = [];
  const server = http.createServer((request, response) => {
    requests.push(request);
    answer(response, request);
  });
  defer(t, () => server.close());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { url: `http://127.0.0.1:${server.address().port}`, requests };
}

/** A stream, read piece by piece. */
async function open(t, url, headers = {}) {
  const leave = new AbortController();
  defer(t, () => leave.abort());
  const response = await fetch(url, { headers, signal: leave.signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  return {
    response,
    /** Resolves to everything that has come, when that ends with this event. */
    async until(end) {
      const timer = setTimeout(() => leave.abort(new Error(`there is only ${JSON.stringify(text)}`)), LIMIT_MS);
      while (!(text.includes(end) && text.endsWith("\n\n"))) {
        const { done, value } = await reader.read();
        if (done) throw new Error(`the stream has ended after ${JSON.stringify(text)}`);
        text += value;
      }
      clearTimeout(timer);
      return text;
    },
    leave: () => leave.abort(),
  };
}

const numbers = (text) => [...text.matchAll(/^data: \{"n":(\d+)\}$/gm)].map(([, n]) => Number(n));
const lastId = (text) => [...text.matchAll(/^id: (.+)$/gm)].at(-1)[1];

describe("the route handler", { concurrency: 2 }, () => {
  test("passes on each event at once, with the hub's headers and uncompressed", { timeout }, async (t) => {
    const { hub, next } = await start(t);
    const stream = await open(t, `${next.url}/events?topic=a`, { "accept-encoding": "gzip, br" });
    assert.equal(stream.response.status, 200);
    const direct = await open(t, `${hub.url}/events?topic=a`);
    for (const name of ["content-type", "cache-control", "x-accel-buffering", "x-content-type-options"]) {
      assert.equal(stream.response.headers.get(name), direct.response.headers.get(name), name);
    }
    assert.equal(stream.response.headers.get("content-type"), "text/event-stream; charset=utf-8");
    assert.equal(stream.response.headers.get("content-encoding"), null);
    // Nothing comes after each of these until it was read.
    assert.match(await stream.until("tidings:status"), /"status":"fresh"/);
    for (const n of [1, 2, 3]) {
      await publish(hub, "a", n, n);
      assert.deepEqual(numbers(await stream.until(`{"n":${n}}`)), Array.from({ length: n }, (_, n) => n + 1));
    }
  });

  test("passes on the id of the last event, so that a stream goes on without a gap", { timeout }, async (t) => {
    const { hub, next } = await start(t);
    const url = `${next.url}/events?topic=a`;
    const first = await open(t, url);
    await first.until("tidings:status");
    await publish(hub, "a", 1, 1);
    const id = lastId(await first.until('{"n":1}'));
    first.leave();
    await publish(hub, "a", 2, 3);
    const second = await open(t, url, { "last-event-id": id });
    await second.until('{"n":3}');
    await publish(hub, "a", 4, 4);
    const text = await second.until('{"n":4}');
    assert.match(text, /"status":"resumed"/);
    assert.deepEqual(numbers(text), [2, 3, 4]);
  });

  test("passes on who asks, and nothing else", { timeout }, async (t) => {
    const hub = await fakeHub(t, (response) => response.writeHead(204).end());
    const next = await Next.start(t, hub);
    const headers = { authorization: "Bearer secret", cookie: "session=1", accept: "text/event-stream", "x-other": "1" };
    await fetch(`${next.url}/events?topic=a%26b&topic=c`, { headers });
    const [{ url, headers: passed }] = hub.requests;
    assert.equal(url, "/events?topic=a%26b&topic=c");
    for (const name of ["authorization", "cookie", "accept"]) assert.equal(passed[name], headers[name], name);
    for (const name of ["x-other", "x-forwarded-for"]) assert.equal(passed[name], undefined, name);
  });

  test("lets go of the hub when a client leaves, and when it asks only for the head", { timeout }, async (t) => {
    const { hub, next } = await start(t);
    const url = `${next.url}/events?topic=a`;
    const streams = await Promise.all(Array.from({ length: 5 }, () => open(t, url)));
    await untilClients(hub, 5);
    for (const stream of streams) stream.leave();
    await untilClients(hub, 0);
    const head = await fetch(url, { method: "HEAD" });
    assert.equal(head.headers.get("content-type"), "text/event-stream; charset=utf-8");
    await untilClients(hub, 0);
    assert.deepEqual(next.errors, []);
  });

  test("takes no more from the hub than a client reads, but for some buffers", { timeout }, async (t) => {
    const { hub, next } = await start(t);
    await open(t, `${next.url}/events?topic=a`);
    for (let n = 0; n < 60; n++) await hub.publish("a", "x".repeat(500_000));
    const { clients: [client] } = await hub.clients();
    // That is up to 20 MB in all sockets, streams and programs.
    assert.ok(client.events_sent < 40, `${client.events_sent} events were sent`);
  });

  test("passes on what is no stream, and when to come back", { timeout }, async (t) => {
    const statuses = [204, 400, 401, 403, 404, 429, 500, 503];
    const hub = await fakeHub(t, (response, { url }) => {
      const status = Number(new URLSearchParams(url.split("?")[1]).get("status"));
      response.writeHead(status, { "retry-after": "7", "content-type": "text/plain" }).end(status === 204 ? "" : `why ${status}\n`);
    });
    const next = await Next.start(t, hub);
    for (const status of statuses) {
      const answer = await fetch(`${next.url}/events?status=${status}`);
      const expected = [status, "7", status === 204 ? "" : `why ${status}\n`];
      assert.deepEqual([answer.status, answer.headers.get("retry-after"), await answer.text()], expected);
    }
    assert.deepEqual(next.errors, []);
  });

  test("answers 502 while there is no hub", { timeout }, async (t) => {
    const { hub, next } = await start(t);
    const url = `${next.url}/events?topic=a`;
    await hub.kill();
    assert.equal((await fetch(url)).status, 502);
    await hub.restart();
    const stream = await open(t, url);
    await stream.until("tidings:status");
  });
});
