// OpenAI's own client of PyPI.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, test } from "node:test";
import { promisify } from "node:util";

import { Answers, countTo, timeout } from "./answers.mjs";

const DRIVER = fileURLToPath(new URL("openai_driver.py", import.meta.url));

/** What a scenario of the driver prints. */
async function run(...args) {
  const python = process.env.PYTHON;
  if (!python) throw new Error("PYTHON: is not set; it is the path of an interpreter with requirements.txt, see ../tests/llm_answer.rs");
  const { stdout } = await promisify(execFile)(python, [DRIVER, ...args], { timeout });
  return JSON.parse(stdout);
}

describe("the client of PyPI", { concurrency: 2 }, () => {
  test("gets whole completions, and the errors of failed ones", { timeout }, async (t) => {
    const { url } = await Answers.start(t);
    assert.deepEqual(await run(url, "chat_whole"), [countTo(50), "stop", 50, null]);
    assert.deepEqual(await run(url, "chat_failed"), [countTo(5), "server_error", "the model has lost its thread"]);
    assert.deepEqual(await run(url, "refused"), ["BadRequestError", "NotFoundError", "NotFoundError", "InternalServerError"]);
  });

  test("retrieves the completion whose stream was cut", { timeout }, async (t) => {
    const answers = await Answers.start(t);
    const proxy = await answers.behindCuts(t, 15_000, { from: '"object":"chat.completion.chunk"}\n\n' });
    const [text, error, whole] = await run(answers.url, "chat_cut", proxy.url);
    assert.ok(error !== null && countTo(100).startsWith(text));
    assert.equal(whole, countTo(100));
  });

  test("goes on with a response that is cut again and again", { timeout }, async (t) => {
    const answers = await Answers.start(t);
    const proxy = await answers.behindCuts(t, 6_000, { isStream: (head) => head.startsWith("GET /v1/responses/") });
    const [text, same, connections] = await run(answers.url, "responses_cut", proxy.url);
    assert.deepEqual([text, same], [countTo(200), true]);
    assert.equal(connections, proxy.cuts + 1);
    assert.ok(proxy.cuts > 5, `${proxy.cuts} cuts`);
  });

  test("cancels a response, and reads one with another reader", { timeout }, async (t) => {
    const { url } = await Answers.start(t);
    const [text, last, status, after, error] = await run(url, "responses_stopped");
    assert.deepEqual([last, status, after, error], ["response.incomplete", "cancelled", text, null]);
    assert.ok(text !== "" && countTo(1_000).startsWith(text));
    const slow = await Answers.start(t, { isSlow: true });
    assert.deepEqual(await run(slow.url, "responses_readers"), [countTo(20), true, true]);
  });
});
