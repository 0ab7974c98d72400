// A network between browser and hub that breaks where a test wants it to: a TCP proxy.

import { EventEmitter, once } from "node:events";
import net from "node:net";

import { defer } from "./cleanup.mjs";

const END_OF_HEAD = "\r\n\r\n";

export class Proxy {
  #server;
  #port;
  #options;
  #sockets = new Set();
  /** The heads of the requests for a stream, in the order in which they came. */
  requests = [];
  /** How many streams it has cut. */
  cuts = 0;
  #cut = new EventEmitter();

  /**
   * Starts a proxy before `hub`. For each stream (`GET /events`), these are asked once:
   *
   * - `cut()`: how many bytes of the response pass before the connection breaks, as
   *   `{ after, how, from }`; `how` is `"end"` (FIN: a proxy that ends) or `"reset"` (RST: a host
   *   that is gone). Bytes are those on the wire, head and chunk sizes included, so a cut falls
   *   into the middle of an event as well as between two. With `from`, they count from behind
   *   this text. `undefined` for no cut.
   * - `refuse()`: true to answer 503 in the hub's place.
   *
   * `rewrite(text)` may change what passes, at the same length; it sees whole chunks as bytes
   * in latin1. `retryMs` changes the `retry:` field, so that the browser comes back sooner than
   * the hub would have it.
   */
  static async start(t, hub, options = {}) {
    const proxy = new Proxy();
    proxy.#options = options;
    proxy.#port = hub.port;
    proxy.#server = net.createServer((socket) => proxy.#serve(socket));
    defer(t, () => proxy.#end());
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  #end() {
    this.#server.close();
    this.#sockets.forEach((socket) => socket.destroy());
  }

  #serve(browser) {
    const hub = net.connect(this.#port, "127.0.0.1");
    for (const socket of [browser, hub]) {
      socket.setNoDelay(true);
      this.#sockets.add(socket);
      socket.on("error", () => {});   // `close` follows
    }
    let response = null;   // the one that is a stream; others pass as they are
    browser.on("close", () => { this.#sockets.delete(browser); hub.destroy(); });
    hub.on("close", () => {
      this.#sockets.delete(hub);
      // A cut ends the browser's side in its own way.
      if (!response?.cutting) browser.end();
    });
    browser.on("data", (bytes) => {
      // A browser sends a request that has no body in one piece.
      const head = bytes.toString("latin1");
      if (head.startsWith("GET /events")) {
        this.requests.push(head);
        if (this.#options.refuse?.()) {
          browser.end("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
          return;
        }
        response = { begun: false, start: "", cut: this.#options.cut?.(), cutting: false };
      }
      hub.write(bytes);
    });
    hub.on("data", (bytes) => {
      if (response === null) browser.write(bytes);
      else this.#pass(response, bytes, browser, hub);
    });
  }

  #pass(response, bytes, browser, hub) {
    let text = bytes.toString("latin1");
    if (!response.begun) {
      // Head and first event are small, and wait for each other here.
      response.start += text;
      const body = response.start.indexOf(END_OF_HEAD) + END_OF_HEAD.length;
      if (body < END_OF_HEAD.length || !response.start.includes("\n\n", body)) return;
      response.begun = true;
      text = this.#hurry(response.start);
      const { from } = response.cut ?? {};
      if (from) response.cut.after += text.indexOf(from) + from.length;
    }
    const { length } = text;
    text = this.#options.rewrite?.(text) ?? text;
    if (text.length !== length) throw new Error("rewrite changed the length");

    const { cut } = response;
    if (cut === undefined || cut.after > length) {
      browser.write(text, "latin1");
      if (cut !== undefined) cut.after -= length;
      return;
    }
    response.cutting = true;
    hub.destroy();
    const last = text.slice(0, cut.after);
    if (cut.how === "end") browser.end(last, "latin1");
    else browser.write(last, "latin1", () => browser.resetAndDestroy());
    this.cuts += 1;
    this.#cut.emit("cut");
  }

  /** Resolves when it has cut so many streams. */
  async untilCut(count) {
    while (this.cuts < count) await once(this.#cut, "cut");
  }

  /** Has the browser come back after `retryMs`. */
  #hurry(text) {
    const { retryMs } = this.#options;
    if (retryMs === undefined) return text;
    return text.replace(/^retry: ?(\d+)$/m, (line, ms) => line.slice(0, -ms.length) + String(retryMs).padStart(ms.length, "0"));
  }
}
