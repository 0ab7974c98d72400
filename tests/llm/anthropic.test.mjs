// Anthropic's own client of npm.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import Anthropic from "@anthropic-ai/sdk";

import { Answers, collect, countTo, timeout } from "./answers.mjs";

const client = (url) => new Anthropic({ apiKey: "none", baseURL: url, maxRetries: 0, timeout });
const start = async (t, options) => {
  const answers = await Answers.start(t, options);
  return { answers, anthropic: client(answers.url) };
};
const question = (content) => ({ model: "m", max_tokens: 10_000, messages: [{ role: "user", content }] });
const ask = (anthropic, content) => anthropic.messages.create({ ...question(content), stream: true });
const text = (events) => events.filter(({ type }) => type === "content_block_delta").map(({ delta }) => delta.text).join("");
const ROUNDS = 8;

describe("Messages", { concurrency: 4 }, () => {
  test("a stream is the whole answer", { timeout }, async (t) => {
    const { anthropic } = await start(t);
    const { collected, error } = await collect(await ask(anthropic, "count to 50"));
    assert.equal(error, undefined);
    assert.equal(text(collected), countTo(50));
    const types = collected.map(({ type }) => type).filter((type) => type !== "content_block_delta");
    assert.deepEqual(types, ["message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop"]);
    assert.deepEqual(collected[0].message.content, []);
    const { delta, usage } = collected.at(-2);
    assert.deepEqual([delta.stop_reason, usage.output_tokens], ["end_turn", 50]);
  });

  test("the helper takes it with comments between, and without a stream the answer is the same", { timeout }, async (t) => {
    const { anthropic } = await start(t, { isSlow: true });
    const streamed = anthropic.messages.stream(question([{ type: "text", text: "count to 9" }]));
    assert.equal(await streamed.finalText(), countTo(9));
    const { id: first, ...one } = await streamed.finalMessage();
    const { id: second, ...other } = await anthropic.messages.create(question("count to 9"));
    assert.notEqual(first, second);
    assert.equal(other.content[0].text, countTo(9));
    assert.deepEqual([one.content[0].text, one.stop_reason, one.usage.output_tokens], [countTo(9), other.stop_reason, 9]);
  });

  test("a stream that is cut is an error, and the answer goes on without it", { timeout }, async (t) => {
    const { answers } = await start(t);
    const proxy = await answers.behindCuts(t, 10_000, { from: "event: content_block_start\n" });
    for (let round = 1; round <= ROUNDS; round++) {
      const { collected, error } = await collect(await ask(client(proxy.url), "count to 100"));
      assert.ok(error instanceof Error && proxy.cuts === round, `${error}`);
      assert.ok(countTo(100).startsWith(text(collected)));
      // The client has no way to go on. The answer has: two readers.
      const { id } = collected[0].message;
      const whole = await Promise.all([1, 2].map(() => answers.read(id)));
      assert.deepEqual(whole, [1, 2].map(() => ({ text: countTo(100), end: "done" })));
    }
  });

  test("a stop is a request of its own, after which the stream ends as if it were whole", { timeout }, async (t) => {
    const { answers, anthropic } = await start(t);
    let id;
    const { collected, error } = await collect(await ask(anthropic, "count to 10000"), async (event, count) => {
      id ??= event.message.id;
      if (count === 20) await answers.stop(id);
    });
    assert.equal(error, undefined);
    assert.equal(collected.at(-2).delta.stop_reason, "end_turn");
    assert.equal(collected.at(-1).type, "message_stop");
    // When it is finished, it is there for whoever comes then.
    assert.deepEqual(await answers.read(id), { text: text(collected), end: "stopped" });
  });

  test("errors are those of the client", { timeout }, async (t) => {
    const { anthropic } = await start(t);
    const { collected, error } = await collect(await ask(anthropic, "count to 5 and fail"));
    assert.equal(text(collected), countTo(5));
    assert.ok(error instanceof Anthropic.APIError);
    assert.equal(error.error.error.type, "api_error");
    await assert.rejects(anthropic.messages.create(question("count to 5 and fail")), Anthropic.InternalServerError);
    await assert.rejects(anthropic.messages.create({ model: "m", max_tokens: 1, messages: [] }), (error) =>
      error instanceof Anthropic.BadRequestError && error.error.error.type === "invalid_request_error");
  });
});
