// The example llm-answer, and a network in front of it that breaks.

import assert from "node:assert/strict";
import { randomInt } from "node:crypto";

import { Proxy } from "../browser/proxy.mjs";
import { Server } from "../browser/server.mjs";

export const timeout = 60_000;

/** What the model says to this. */
export const countTo = (count) => Array.from({ length: count }, (_, n) => `${n + 1} `).join("");

export class Answers extends Server {
  static variable = "TIDINGS_LLM_ANSWER";
  static greeting = /: open http:\/\/127\.0\.0\.1:(\d+)\/ in a browser$/;

  /** Starts a server. A model that is slow has comments between its tokens. */
  static start(t, { isSlow = false } = {}) {
    return super.start(t, ["--token-every", isSlow ? "150" : "4", "--heartbeat", "1"]);
  }

  /** Sends a request with JSON. */
  ask(path, body, method = "POST") {
    return fetch(this.url + path, { method, headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  }

  /** Stops an answer by a request of its own. `id` is that of any format. */
  async stop(id) {
    const answer = await this.ask(`/answers/${id.replace(/^.*[_-]/, "")}`, undefined, "DELETE");
    assert.equal(answer.status, 204);
  }

  /** The events of an answer, as the page reads them: its text, and its end. */
  async read(id) {
    const answer = await fetch(`${this.url}/answers/${id.replace(/^.*[_-]/, "")}`);
    const data = (name) => new RegExp(`^event: ${name}\\ndata: (.*)$`, "gm");
    const events = await answer.text();
    const [text, [end]] = ["token", "ended"].map((name) => [...events.matchAll(data(name))].map(([, data]) => JSON.parse(data)));
    return { text: text.join(""), end };
  }

  /**
   * A network that breaks each stream after some random byte of `bytes`, counted from the end of the text `from`. `bytes` may
   * depend on how many streams were broken.
   */
  async behindCuts(t, bytes, { from, isStream = (head) => head.startsWith("POST /") } = {}) {
    const range = typeof bytes === "function" ? bytes : () => bytes;
    const cut = () => ({ after: 1 + randomInt(range(proxy.cuts)), how: randomInt(2) === 0 ? "end" : "reset", from });
    const proxy = await Proxy.start(t, this, { isStream, cut });
    return proxy;
  }
}

/** Everything of an iteration, and the error with which it has ended. `each` is called with each item. */
export async function collect(items, each = async () => {}) {
  const collected = [];
  try {
    for await (const item of items) {
      collected.push(item);
      await each(item, collected.length);
    }
    return { collected };
  } catch (error) {
    return { collected, error };
  }
}
