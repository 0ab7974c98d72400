import { absolute } from "./address.ts";
import { END_EVENT, STATUS_EVENT } from "./event.ts";
import { TidingsError } from "./error.ts";
import { fetchTransport } from "./fetch_transport.ts";
import type { StreamRequest, Transport } from "./transport.ts";

export interface EventSourceOptions {
  /**
   * The names of all events; those that are listened to by `on` before the client connects need not be named. An `EventSource` gives
   * no others: after a later `on`, call `reconnect()`.
   */
  readonly names?: Iterable<string>;
  /** The name of the heartbeat, if it is an event. Without one, silence is not noticed: comments are not to be seen. */
  readonly heartbeat?: string;
}

/**
 * Reads a stream with the browser's `EventSource`, which shows it in its developer tools, and connects again by itself after the
 * server's `retry`. For streams that need no headers, no body and no token.
 *
 * When the browser gives up, which says nothing about why, the next connection is one of `fetch`.
 */
export function eventSourceTransport({ names = [], heartbeat }: EventSourceOptions = {}): Transport {
  return async (request, sink) => {
    const { method, body, signal } = request;
    signal.throwIfAborted();
    if (method !== "GET" || body !== undefined || [...request.headers].length > 0) {
      throw new TidingsError("unsupported", "an EventSource can send no headers, body or token: use fetchTransport");
    }
    let lastEventId = request.lastEventId;
    const all = new Set([STATUS_EVENT, END_EVENT, "message", ...names, ...request.names()]);
    if (heartbeat !== undefined) all.add(heartbeat);
    await new Promise<void>((resolve) => {
      const source = new EventSource(address(request), { withCredentials: request.credentials === "include" });
      const close = (): void => {
        source.close();
        resolve();
      };
      signal.addEventListener("abort", close, { once: true });
      for (const name of all) {
        source.addEventListener(name, (event: MessageEvent<string>) => {
          // The browser's own `open` and `error` have no data.
          if (typeof event.data !== "string") return;
          if (heartbeat !== undefined) sink.alive();
          const id = event.lastEventId;
          const isNew = id !== lastEventId;
          lastEventId = id;
          sink.event({ event: name, data: event.data, ...(isNew && { id }) });
        });
      }
      source.addEventListener("open", (event) => {
        if (!("data" in event)) sink.open();
      });
      source.addEventListener("error", (event) => {
        if ("data" in event) return;
        if (source.readyState !== EventSource.CLOSED) return sink.lost();
        signal.removeEventListener("abort", close);
        resolve();
      });
    });
    signal.throwIfAborted();
    return fetchTransport({ ...request, lastEventId }, sink);
  };
}

/** A new `EventSource` has no last id, and cannot set headers. */
function address({ url, lastEventId }: StreamRequest): string {
  if (lastEventId === "") return url;
  const resumed = absolute(url);
  resumed.searchParams.set("lastEventId", lastEventId);
  return resumed.href;
}
