// Publishes at a constant rate, whatever else the machine does.

import { once } from "node:events";
import net from "node:net";
import { setInterval } from "node:timers/promises";

import { defer } from "./cleanup.mjs";

const EVERY_MS = 10;
const ANSWER = /HTTP\/1\.1 (\d+)/g;

export class Firehose {
  #socket;
  #done;
  #stopped = false;
  #began = performance.now();
  /** How many requests were sent, and how many were answered. */
  #sent = 0;
  #answered = 0;

  /** Publishes `{"n":1}`, `{"n":2}` … as `tick`, to the topics in turn, until `stop`: by one connection, in order. */
  static async start(t, hub, { topics, perSecond }) {
    const firehose = new Firehose();
    const socket = firehose.#socket = net.connect(hub.port, "127.0.0.1");
    defer(t, () => { firehose.#stopped = true; socket.destroy(); });
    await once(socket, "connect");
    socket.setNoDelay(true);
    socket.setEncoding("latin1");
    // A status line may come in two pieces.
    let rest = "";
    socket.on("data", (text) => {
      rest += text;
      for (const [, status] of rest.matchAll(ANSWER)) {
        if (status !== "200") socket.destroy(new Error(`publishing: ${status}`));
        firehose.#answered += 1;
      }
      rest = rest.slice(rest.lastIndexOf("\n") + 1);
      socket.emit("answered");
    });
    firehose.#done = firehose.#run(topics, perSecond);
    firehose.#done.catch(() => {});   // `stop` throws it
    return firehose;
  }

  async #run(topics, perSecond) {
    for await (const _ of setInterval(EVERY_MS)) {
      if (this.#stopped) return;
      const due = Math.floor((performance.now() - this.#began) / 1000 * perSecond);
      // No more than the server reads while it answers.
      const most = Math.min(due, this.#answered + 40);
      let requests = "";
      while (this.#sent < most) {
        const n = this.#sent += 1;
        const body = JSON.stringify({ n });
        requests += `POST /publish?topic=${topics[n % topics.length]}&event=tick HTTP/1.1\r\nhost: hub\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
      }
      if (requests) this.#socket.write(requests);
    }
  }

  /** Resolves when so many events are published. */
  async published(count) {
    while (this.#answered < count) await once(this.#socket, "answered");
  }

  /** Resolves when an event is published that nobody can have seen yet. */
  async goesOn() {
    await this.published(this.#sent + 1);
  }

  /** Resolves when everything that was sent is published, to the number of events and the time. */
  async stop() {
    this.#stopped = true;
    await this.#done;
    await this.published(this.#sent);
    return { published: this.#answered, seconds: (performance.now() - this.#began) / 1000 };
  }
}
