// graphql-sse, as it is installed, reads the example graphql.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, test } from "node:test";

import { buildClientSchema, getIntrospectionQuery } from "graphql";
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

const numbers = Array.from({ length: COUNT }, (_, n) => String(n));

/** Everything that a subscription gives, up to the last number. */
async function read({ client, seen }, begun) {
  const texts = [];
  for await (const { data, errors } of client.iterate(SUBSCRIPTION)) {
    assert.equal(errors, undefined);
    begun();
    seen.id = data.messages.id;
    texts.push(data.messages.text);
    if (data.messages.text === numbers.at(-1)) return texts;
  }
}

/** Says all numbers. The first one is what each subscription begins with: a later one begins with the last 20. */
async function sayAll(url, t, read) {
  const { client } = connect(t, url);
  await say(client, numbers[0]);
  let begun;
  const hasBegun = new Promise((resolve) => { begun = resolve; });
  const reading = read(begun);
  await Promise.race([hasBegun, reading]);
  for (const number of numbers.slice(1)) await say(client, number);
  return reading;
}

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
      assert.deepEqual(await sayAll(server.url, t, (begun) => read(reader, begun)), numbers);
      assert.ok(proxy.cuts > 0);
    });
  });
}

test("one stream has the results of several operations, and stops them one by one", { timeout }, async (t) => {
  const { url } = await start(t, "graphql");
  const reader = connect(t, url, { singleConnection: true });
  const all = sayAll(url, t, async (begun) => {
    const stopped = reader.client.iterate(SUBSCRIPTION);
    assert.equal((await stopped.next()).value.data.messages.text, numbers[0]);
    const reading = read(reader, begun);
    await stopped.return();
    return reading;
  });
  assert.deepEqual(await all, numbers);
});

test("tools get the whole schema", { timeout }, async (t) => {
  const { url } = await start(t, "graphql");
  const { client } = connect(t, url);
  const results = [];
  for await (const result of client.iterate({ query: getIntrospectionQuery() })) results.push(result);
  assert.deepEqual(results.map(({ errors }) => errors), [undefined]);
  assert.ok(buildClientSchema(results[0].data).getQueryType().getFields().messages);
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
  const all = await sayAll(server.url, t, (begun) => new Promise((resolve) => {
    const show = (text) => {
      begun();
      if (shown.push(text) === COUNT) resolve();
    };
    const AsyncFunction = (async () => {}).constructor;
    new AsyncFunction("createClient", "show", "clear", code)(create, show, () => resolve("cleared")).catch(resolve);
  }));
  assert.equal(all, undefined);
  assert.deepEqual(shown, numbers);
  assert.equal(proxy.cuts, 1);
});
