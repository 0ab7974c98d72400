// What the formats of others have on the wire, and what they have not.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { Answers, timeout } from "./answers.mjs";

const content = "count to 3";
const messages = [{ role: "user", content }];
const UI_MESSAGES = [{ id: "1", role: "user", parts: [{ type: "text", text: content }] }];
const FORMATS = [
  { path: "/v1/chat/completions", body: { model: "m", messages, stream: true }, last: "data: [DONE]" },
  { path: "/v1/responses", body: { model: "m", input: content, stream: true }, isNamed: true, last: "event: response.completed" },
  { path: "/v1/messages", body: { model: "m", max_tokens: 1, messages, stream: true }, isNamed: true, last: "event: message_stop" },
  { path: "/api/chat", body: { id: "ada", messages: UI_MESSAGES }, last: "data: [DONE]", headers: { "x-vercel-ai-ui-message-stream": "v1" } },
];

describe("the wire", { concurrency: 2 }, () => {
  for (const { path, body, isNamed = false, last, headers = {} } of FORMATS) {
    test(`${path} has the events of its format, comments, and nothing of Tidings`, { timeout }, async (t) => {
      const answers = await Answers.start(t, { isSlow: true });
      const answer = await answers.ask(path, body);
      assert.match(answer.headers.get("content-type"), /^text\/event-stream/);
      for (const [name, value] of Object.entries(headers)) assert.equal(answer.headers.get(name), value);
      const blocks = (await answer.text()).split("\n\n");
      assert.equal(blocks.pop(), "");
      const events = blocks.filter((block) => block !== ":");
      assert.ok(blocks.length > events.length, "no heartbeat");
      for (const event of events) {
        const fields = event.split("\n").map((line) => line.slice(0, line.indexOf(": ")));
        assert.deepEqual(fields, isNamed ? ["event", "data"] : ["data"], event);
        const [data, name] = event.split("\n").reverse();
        if (isNamed) assert.equal(name, `event: ${JSON.parse(data.slice(6)).type}`);
      }
      assert.ok(events.at(-1).startsWith(last), events.at(-1));
    });
  }

  test("what is too large is refused for good, and `null` is taken for nothing", { timeout }, async (t) => {
    const answers = await Answers.start(t);
    const large = "x".repeat(1_200_000);
    const photo = [{ id: "1", role: "user", parts: [{ type: "text", text: content }, { type: "file", url: large }] }];
    const refused = await answers.ask("/api/chat", { id: "ada", messages: photo });
    assert.deepEqual([refused.status, Object.keys(await refused.json())], [400, ["error"]]);
    assert.deepEqual(await (await fetch(`${answers.url}/api/chat/ada`)).json(), []);
    const ask = (body) => answers.ask("/v1/chat/completions", { model: "m", ...body });
    assert.equal((await ask({ messages: [{ role: "user", content: large }] })).status, 400);
    const nulls = { messages: [{ role: "assistant", content: null }, ...messages], stream: null, stream_options: null };
    assert.equal((await ask(nulls)).status, 200);
  });

  test("/answers/{id} is 204 for who has it all, the rest for who has a part, and all for anybody else", { timeout }, async (t) => {
    const answers = await Answers.start(t);
    const { id } = await (await answers.ask("/answers", { question: content })).json();
    const url = `${answers.url}/answers/${id}`;
    const events = (text) => [...text.matchAll(/^event: (\w+)\ndata: .*\nid: (.+)$/gm)].map(([, name, id]) => ({ name, id }));
    const all = events(await (await fetch(url)).text());
    assert.deepEqual(all.map(({ name }) => name), ["begun", "token", "token", "token", "ended"]);
    const after = async ({ id }) => {
      const answer = await fetch(url, { headers: { "last-event-id": id } });
      return { status: answer.status, rest: events(await answer.text()) };
    };
    assert.deepEqual(await after(all[2]), { status: 200, rest: all.slice(3) });
    assert.deepEqual(await after(all[4]), { status: 204, rest: [] });
    assert.deepEqual(events(await (await fetch(url)).text()), all);
  });
});
