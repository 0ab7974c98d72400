// Publishes continuously, whatever happens to the clients.

import { setInterval } from "node:timers/promises";

import { defer } from "./cleanup.mjs";

export class Publisher {
  #stopped = false;
  #done;
  /** The last published number. */
  last = 0;

  /**
   * Publishes `{"n":1}`, `{"n":2}` … at this pace, to the topics in turn, until `stop`. It pauses while `waits(id)`, of the
   * newest event's id, says so.
   */
  constructor(t, hub, { topics, everyMs, event = "tick", waits = () => false }) {
    this.#done = this.#run(hub, topics, everyMs, event, waits);
    this.#done.catch(() => {});   // `stop` throws it
    defer(t, () => { this.#stopped = true; });
  }

  async #run(hub, topics, everyMs, event, waits) {
    let id;
    for await (const _ of setInterval(everyMs)) {
      if (this.#stopped) return;
      if (waits(id)) continue;
      const n = this.last + 1;
      ({ id } = await hub.publish(topics[n % topics.length], JSON.stringify({ n }), event));
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
