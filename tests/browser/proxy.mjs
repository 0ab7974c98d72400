// A network between a browser and a hub that breaks where a test says: a TCP proxy.

import { EventEmitter, once } from "node:events";
import net from "node:net";

import { defer } from "./cleanup.mjs";

const REQUEST_LINE = /^[A-Z]+ \S+ HTTP\/1\.1\r\n/;
const END_OF_HEAD = "\r\n\r\n";
const END_OF_CHUNKS = "0\r\n\r\n";
const EVENT_STREAM = /^content-type: text\/event-stream/im;

export class Proxy {
  #server;
  #port;
  #options;
  #sockets = new Set();
  /** The heads of the requests for streams, in order. */
  requests = [];
  /** How many streams it has cut. */
  cuts = 0;
  #cut = new EventEmitter();

  /**
   * Starts a proxy in front of `hub`. For each request for a stream (`isStream(head)`, by default `GET /events`), these are
   * called once:
   *
   * - `cut()`: how many bytes of the response pass before the connection breaks, as `{ after, how, from }`, or
   *   `undefined` for no cut. `how` is `"end"` (FIN, as when a proxy ends) or `"reset"` (RST, as when a host fails). Bytes
   *   are those on the wire with head and chunk sizes, so a cut may be in the middle of an event. With `from`, they are
   *   counted from the end of this text.
   * - `refuse()`: true to answer 503 instead of the hub.
   *
   * `rewriteRequest(head)` may change a request, and may take its time, as a promise. `rewrite(text)` may change what
   * passes, but not its length. It gets whole chunks of bytes as latin1. `retryMs` replaces the value of the `retry:`
   * field, so that the browser comes back sooner.
   */
  static async start(t, hub, options = {}) {
    const proxy = new Proxy();
    proxy.#options = { isStream: (head) => head.startsWith("GET /events"), ...options };
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
    let response = null;   // a stream; other responses pass unchanged
    browser.on("close", () => { this.#sockets.delete(browser); hub.destroy(); });
    hub.on("close", () => {
      this.#sockets.delete(hub);
      // A cut ends the browser's side in its own way.
      if (!response?.cutting) browser.end();
    });
    browser.on("data", async (bytes) => {
      // The head of a request is small, and comes in one piece.
      const head = bytes.toString("latin1");
      if (REQUEST_LINE.test(head)) response = null;
      if (this.#options.isStream(head)) {
        this.requests.push(head);
        if (this.#options.refuse?.()) {
          browser.end("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
          return;
        }
        response = { begun: false, start: "", cut: this.#options.cut?.(), cutting: false };
      }
      // What comes next waits for it.
      browser.pause();
      hub.write(await this.#options.rewriteRequest?.(head) ?? head, "latin1");
      browser.resume();
    });
    hub.on("data", (bytes) => {
      if (response === null) browser.write(bytes);
      else this.#pass(response, bytes, browser, hub);
    });
  }

  #pass(response, bytes, browser, hub) {
    let text = bytes.toString("latin1");
    if (!response.begun) {
      // The head and the first event are small, and are joined here.
      response.start += text;
      const body = response.start.indexOf(END_OF_HEAD) + END_OF_HEAD.length;
      if (body < END_OF_HEAD.length) return;
      const { from } = response.cut ?? {};
      const isStream = EVENT_STREAM.test(response.start.slice(0, body));
      const isThere = response.start.includes("\n\n", body) && response.start.includes(from ?? "");
      if (isStream && !isThere && !response.start.endsWith(END_OF_CHUNKS)) return;
      response.begun = true;
      if (!isStream || !isThere) response.cut = undefined;   // it is refused, or there is nothing
      text = this.#hurry(response.start);
      if (response.cut?.from) response.cut.after += text.indexOf(from) + from.length;
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

  /** Resolves when it has cut this many streams. */
  async untilCut(count) {
    while (this.cuts < count) await once(this.#cut, "cut");
  }

  /** Makes the browser come back after `retryMs`. */
  #hurry(text) {
    const { retryMs } = this.#options;
    if (retryMs === undefined) return text;
    return text.replace(/^retry: ?(\d+)$/m, (line, ms) => line.slice(0, -ms.length) + String(retryMs).padStart(ms.length, "0"));
  }
}
