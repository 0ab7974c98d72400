// OpenAI's own client of npm: Chat Completions, and Responses.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import OpenAI from "openai";

import { Answers, collect, countTo, timeout } from "./answers.mjs";

const start = async (t, options) => {
  const answers = await Answers.start(t, options);
  return { answers, openai: client(answers.url) };
};
const client = (url) => new OpenAI({ apiKey: "none", baseURL: `${url}/v1`, maxRetries: 0, timeout });
const ROUNDS = 8;

describe("Chat Completions", { concurrency: 4 }, () => {
  const ask = (openai, content, more) => openai.chat.completions.create({ model: "m", messages: [{ role: "user", content }], stream: true, ...more });
  const text = (chunks) => chunks.map(({ choices: [choice] }) => choice?.delta.content ?? "").join("");

  test("a stream is the whole answer, and its usage if that is asked for", { timeout }, async (t) => {
    const { openai } = await start(t);
    const { collected, error } = await collect(await ask(openai, "count to 50", { stream_options: { include_usage: true } }));
    assert.equal(error, undefined);
    assert.equal(text(collected), countTo(50));
    assert.deepEqual(collected[0].choices[0].delta, { role: "assistant", content: "" });
    assert.equal(collected.at(-2).choices[0].finish_reason, "stop");
    assert.deepEqual(collected.at(-1).choices, []);
    assert.deepEqual(collected.at(-1).usage, { prompt_tokens: 3, completion_tokens: 50, total_tokens: 53 });
    assert.equal(new Set(collected.map(({ id }) => id)).size, 1);

    const without = (await collect(await ask(openai, "count to 1"))).collected;
    assert.equal(without.length, 3);
    assert.ok(without.every((chunk) => !("usage" in chunk)));
  });

  test("the helper takes it with comments between, and without a stream the answer is the same", { timeout }, async (t) => {
    const { openai } = await start(t, { isSlow: true });
    const messages = [{ role: "user", content: [{ type: "text", text: "count to 9" }] }];
    const streamed = await openai.chat.completions.stream({ model: "m", messages }).finalChatCompletion();
    const whole = await openai.chat.completions.create({ model: "m", messages });
    for (const { choices: [choice] } of [streamed, whole]) {
      assert.deepEqual([choice.message.content, choice.finish_reason], [countTo(9), "stop"]);
    }
    assert.equal(whole.usage.completion_tokens, 9);
  });

  test("a stream that is cut is an error, and the answer goes on: whole for whoever asks for it", { timeout }, async (t) => {
    const { answers, openai } = await start(t);
    const proxy = await answers.behindCuts(t, 15_000, { from: '"object":"chat.completion.chunk"}\n\n' });
    for (let round = 1; round <= ROUNDS; round++) {
      const { collected, error } = await collect(await ask(client(proxy.url), "count to 100"));
      assert.ok(error instanceof Error && proxy.cuts === round, `${error}`);
      assert.ok(countTo(100).startsWith(text(collected)) && collected.length < 102);
      // Two readers.
      const whole = await Promise.all([1, 2].map(() => openai.chat.completions.retrieve(collected[0].id)));
      for (const { choices: [choice] } of whole) assert.equal(choice.message.content, countTo(100));
    }
  });

  test("a stop is a request of its own, after which the stream ends as if it were whole", { timeout }, async (t) => {
    const { answers, openai } = await start(t);
    const { collected, error } = await collect(await ask(openai, "count to 10000"), async ({ id }, count) => {
      if (count === 20) await answers.stop(id);
    });
    assert.equal(error, undefined);
    assert.equal(collected.at(-1).choices[0].finish_reason, "stop");
    const { choices: [{ message }] } = await openai.chat.completions.retrieve(collected[0].id);
    assert.equal(message.content, text(collected));
    assert.ok(countTo(1_000).startsWith(message.content));
  });

  test("a server that stops leaves no half answer that looks whole", { timeout }, async (t) => {
    const { answers, openai } = await start(t);
    const { collected, error } = await collect(await ask(openai, "count to 10000"), async (_, count) => {
      if (count === 20) await answers.kill("SIGTERM");
    });
    assert.ok(error instanceof Error, `${collected.length} chunks and no error`);
  });

  test("a client that goes away has not said stop", { timeout }, async (t) => {
    const { openai } = await start(t);
    const stream = await ask(openai, "count to 100");
    let id;
    for await (const chunk of stream) {
      ({ id } = chunk);
      break;   // aborts the request
    }
    const { choices: [{ message }] } = await openai.chat.completions.retrieve(id);
    assert.equal(message.content, countTo(100));
  });

  test("errors are those of the client", { timeout }, async (t) => {
    const { openai } = await start(t);
    const { collected, error } = await collect(await ask(openai, "count to 5 and fail"));
    assert.equal(text(collected), countTo(5));
    assert.ok(error instanceof OpenAI.APIError);
    assert.equal(error.type, "server_error");
    assert.match(error.message, /lost its thread/);
    await assert.rejects(ask(openai, "count to 5 and fail", { stream: false }), OpenAI.InternalServerError);
    await assert.rejects(openai.chat.completions.create({ model: "m", messages: [] }), OpenAI.BadRequestError);
    await assert.rejects(openai.chat.completions.create({ model: "m" }), OpenAI.BadRequestError);
    await assert.rejects(openai.chat.completions.retrieve("chatcmpl-17"), OpenAI.NotFoundError);
    await assert.rejects(openai.chat.completions.retrieve(`chatcmpl-${"0".repeat(32)}`), OpenAI.NotFoundError);
  });
});

describe("Responses", { concurrency: 4 }, () => {
  const ask = (openai, input) => openai.responses.create({ model: "m", input, background: true, stream: true });
  const text = (events) => events.filter(({ type }) => type === "response.output_text.delta").map(({ delta }) => delta).join("");
  const assertNumbered = (events) => assert.deepEqual(events.map((event) => event.sequence_number), [...events.keys()]);

  test("a stream is the whole answer, in numbered events", { timeout }, async (t) => {
    const { openai } = await start(t);
    const { collected, error } = await collect(await ask(openai, [{ role: "user", content: [{ type: "input_text", text: "count to 50" }] }]));
    assert.equal(error, undefined);
    assertNumbered(collected);
    assert.equal(text(collected), countTo(50));
    const [first, last] = [collected[0], collected.at(-1)];
    assert.deepEqual([first.type, first.response.status, last.type, last.response.status], ["response.created", "in_progress", "response.completed", "completed"]);
    assert.equal(last.response.usage.output_tokens, 50);
    const again = await openai.responses.retrieve(first.response.id);
    assert.equal(again.output_text, countTo(50));
    assert.deepEqual(again.output, last.response.output);
  });

  test("a stream that is cut again and again goes on after the event that the client has", { timeout }, async (t) => {
    const { answers } = await start(t);
    const asking = await answers.behindCuts(t, 4_000, { from: "event: response.in_progress\n" });
    const resuming = await answers.behindCuts(t, 4_000, { isStream: (head) => head.startsWith("GET /v1/responses/") });
    for (let round = 1; round <= ROUNDS; round++) {
      let { collected: events, error } = await collect(await ask(client(asking.url), "count to 200"));
      assert.equal(asking.cuts, round);
      const { id } = events[0].response;
      while (error !== undefined) {
        const { sequence_number: starting_after } = events.at(-1);
        try {
          const rest = await collect(await client(resuming.url).responses.retrieve(id, { stream: true, starting_after }));
          events.push(...rest.collected);
          error = rest.error;
        } catch (cut) {
          error = cut;   // in the head
        }
      }
      assertNumbered(events);
      assert.equal(text(events), countTo(200));
      assert.equal(events.at(-1).type, "response.completed");
    }
    assert.ok(resuming.cuts > 5 * ROUNDS, `${resuming.cuts} cuts`);
  });

  test("two readers of one answer see the same, and so does one that comes when it is finished", { timeout }, async (t) => {
    const { openai } = await start(t, { isSlow: true });
    const { id } = await openai.responses.create({ model: "m", input: "count to 20", background: true });
    const read = async (starting_after) => (await collect(await openai.responses.retrieve(id, { stream: true, starting_after }))).collected;
    const [one, other] = await Promise.all([read(), read()]);
    const [late, rest, nothing] = [await read(), await read(10), await read(one.length - 1)];
    assertNumbered(one);
    assert.deepEqual(other, one);
    assert.deepEqual(late, one);
    assert.deepEqual(rest, one.slice(11));
    assert.deepEqual(nothing, []);
    // The client's own helper begins with the first event, and passes on what it was asked for.
    const helper = openai.responses.stream({ response_id: id, starting_after: 10 });
    assert.deepEqual((await collect(helper)).collected.map((event) => event.sequence_number), rest.map((event) => event.sequence_number));
    assert.equal((await helper.finalResponse()).output_text, countTo(20));
  });

  test("cancel stops the answer for all readers", { timeout }, async (t) => {
    const { openai } = await start(t);
    let id;
    const { collected, error } = await collect(await ask(openai, "count to 10000"), async (event, count) => {
      id ??= event.response.id;
      if (count !== 20) return;
      const cancelled = await openai.responses.cancel(id);
      assert.equal(cancelled.status, "cancelled");
    });
    assert.equal(error, undefined);
    assert.deepEqual([collected.at(-1).type, collected.at(-1).response.status], ["response.incomplete", "cancelled"]);
    const after = await openai.responses.retrieve(id);
    assert.deepEqual([after.status, after.output_text], ["cancelled", text(collected)]);
    assert.equal((await openai.responses.cancel(id)).status, "cancelled");
  });

  test("errors are those of the client", { timeout }, async (t) => {
    const { openai } = await start(t);
    const { collected } = await collect(await ask(openai, "count to 5 and fail"));
    const { type, response } = collected.at(-1);
    assert.deepEqual([type, response.status, response.error.code], ["response.failed", "failed", "server_error"]);
    assert.equal(text(collected), countTo(5));
    assert.equal((await openai.responses.create({ model: "m", input: "count to 5 and fail" })).status, "failed");
    await assert.rejects(openai.responses.create({ model: "m" }), OpenAI.BadRequestError);
    await assert.rejects(openai.responses.retrieve("resp_17"), OpenAI.NotFoundError);
    await assert.rejects(openai.responses.cancel(`resp_${"0".repeat(32)}`), OpenAI.NotFoundError);
  });
});
