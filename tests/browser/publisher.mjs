// Publishes continuously, whatever happens to the clients.

import { setInterval } from "node:timers/promises";

import { defer } from "./cleanup.mjs";

export class Publisher {
  #stopped = false;
  #done;
  /** The last published number. */
  last = 0;

  /** Publishes `{"n":1}`, `{"n":2}` … at this pace, to the topics in turn, until `stop`. */
  constructor(t, hub, { topics, everyMs, event = "tick" }) {
    this.#done = this.#run(hub, topics, everyMs, event);
    this.#done.catch(() => {});   // `stop` throws it
    defer(t, () => { this.#stopped = true; });
  }

  async #run(hub, topics, everyMs, event) {
    for await (const _ of setInterval(everyMs)) {
      if (this.#stopped) return;
      const n = this.last + 1;
      await hub.publish(topics[n % topics.length], JSON.stringify({ n }), event);
      this.last = n;
    }
  }

  /** Resolves to the last number. */
  async stop() {
    this.#stopped = true;
    await this.#done;
    return this.last;
  }
}
