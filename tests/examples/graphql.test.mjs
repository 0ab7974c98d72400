// graphql-sse, as it is installed, reads the example graphql.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, test } from "node:test";

import { createClient } from "graphql-sse";

import { defer } from "../browser/cleanup.mjs";
import { Proxy } from "../browser/proxy.mjs";
import { start, timeout } from "./example.mjs";

const SUBSCRIPTION = { query: "subscription { messages { id text } }" };
const COUNT = 200;

/**
 * A client that says with each connection what it has seen last. It does not show the ids of events, so this is the one in
 * the data.
 */
function connect(t, url, options) {
  const seen = {};
  const client = createClient({
    url: `${url}/graphql`,
    retryAttempts: Infinity,
    retry: async () => {},
    headers: () => (seen.id === undefined ? {} : { "last-event-id": seen.id }),
    ...options,
  });
  defer(t, () => client.dispose());
  return { client, seen };
}

async function say(client, text) {
  for await (const { data } of client.iterate({ query: "mutation ($text: String!) { say(text: $text) }", variables: { text } })) {
    return data.say;
  }
}

/** Everything that a subscription gives, up to the last message. */
async function read({ client, seen }, request = SUBSCRIPTION) {
  const texts = [];
  for await (const { data, errors } of client.iterate(request)) {
    assert.equal(errors, undefined);
    seen.id = data.messages.id;
    texts.push(data.messages.text);
    if (data.messages.text === String(COUNT - 1)) return texts;
  }
}

const numbers = Array.from({ length: COUNT }, (_, n) => String(n));

for (const singleConnection of [false, true]) {
  describe(singleConnection ? "one stream for all operations" : "a stream for each operation", { concurrency: true }, () => {
    test("gives results and completes", { timeout }, async (t) => {
      const { url } = await start(t, "graphql");
      const { client } = connect(t, url, { singleConnection });
      await say(client, "one");
      const results = [];
      for await (const result of client.iterate({ query: "{ messages { text } }" })) results.push(result);
      assert.deepEqual(results, [{ data: { messages: [{ text: "one" }] } }]);
    });

    test("goes on after cuts, and nothing is missing or doubled", { timeout }, async (t) => {
      const server = await start(t, "graphql");
      const isStream = (head) => (singleConnection ? head.startsWith("GET /graphql") : /^POST \/graphql[^]*accept: text\/event-stream/i.test(head));
      const cuts = [900, 1500, 400, 2500, 3000, 700];
      const cut = () => cuts.length > 0 && { after: cuts.pop(), how: cuts.length % 2 === 0 ? "reset" : "end" } || undefined;
      const proxy = await Proxy.start(t, server, { isStream, cut });
      const reader = connect(t, proxy.url, { singleConnection });
      const speaker = connect(t, server.url);
      const reading = read(reader);
      for (const number of numbers) await say(speaker.client, number);
      assert.deepEqual(await reading, numbers);
      assert.ok(proxy.cuts > 0);
    });
  });
}

test("one stream has the results of several operations, and stops them one by one", { timeout }, async (t) => {
  const { url } = await start(t, "graphql");
  const reader = connect(t, url, { singleConnection: true });
  const [stopped, all] = [reader.client.iterate(SUBSCRIPTION), read(reader)];
  const first = stopped.next();
  const speaker = connect(t, url);
  await say(speaker.client, "0");
  assert.equal((await first).value.data.messages.text, "0");
  await stopped.return();
  for (const number of numbers.slice(1)) await say(speaker.client, number);
  assert.deepEqual(await all, numbers);
});

test("the guide's code reads a subscription, and goes on after a cut", { timeout }, async (t) => {
  const guide = await readFile(new URL("../../docs/guide/examples.md", import.meta.url), "utf8");
  const [, code] = /^  ```js\n(.*?)^  ```$/ms.exec(guide);
  const server = await start(t, "graphql");
  const isStream = (head) => /^POST \/graphql[^]*accept: text\/event-stream/i.test(head);
  const cuts = [{ after: 600, how: "reset" }];
  const proxy = await Proxy.start(t, server, { isStream, cut: () => cuts.pop() });
  let client;
  const create = (options) => {
    client = createClient({ ...options, url: `${proxy.url}${options.url}`, retry: async () => {} });
    defer(t, () => client.dispose());
    return client;
  };
  const shown = [];
  const all = new Promise((resolve) => {
    const show = (text) => { if (shown.push(text) === COUNT) resolve(); };
    const AsyncFunction = (async () => {}).constructor;
    new AsyncFunction("createClient", "show", "clear", code)(create, show, () => resolve("cleared")).catch(resolve);
  });
  const speaker = connect(t, server.url);
  for (const number of numbers) await say(speaker.client, number);
  assert.equal(await all, undefined);
  assert.deepEqual(shown, numbers);
  assert.equal(proxy.cuts, 1);
});
