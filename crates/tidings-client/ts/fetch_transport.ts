import { EventStreamParser } from "./parser.ts";
import type { Outcome, Sink, StreamRequest } from "./transport.ts";

/** Reads a stream with `fetch`: with headers, a body, a token; sees heartbeats, events of all names, and why it was refused. */
export async function fetchTransport(request: StreamRequest, sink: Sink): Promise<Outcome> {
  const { url, method, body, credentials, signal } = request;
  const headers = new Headers(request.headers);
  headers.set("Accept", "text/event-stream");
  // A header is bytes, each as one character: those of the id in UTF-8, after the standard.
  const id = new TextEncoder().encode(request.lastEventId);
  if (id.length > 0) headers.set("Last-Event-ID", String.fromCharCode(...id));
  sink.alive();
  const response = await request.fetch(url, { method, headers, body: body ?? null, credentials, signal, cache: "no-store" });
  const { status } = response;
  const contentType = response.headers.get("Content-Type") ?? "";
  if (status !== 200 || !/^text\/event-stream\b/i.test(contentType) || !response.body) {
    response.body?.cancel().catch(() => {});
    const retryAfter = Number(response.headers.get("Retry-After")) * 1000;
    return { status, contentType, ...(retryAfter > 0 && { retryAfter }) };
  }
  sink.open();
  const parser = new EventStreamParser(sink);
  const decoder = new TextDecoder();
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return { status };
    sink.alive();
    parser.feed(decoder.decode(value, { stream: true }));
  }
}
