import type { ParserSink } from "./parser.ts";

/**
 * How a stream is read: one connection, from the request to its end. Waiting, trying again and deciding what an answer means is
 * the client's.
 *
 * `fetchTransport` and `eventSourceTransport` are two, and `tabs()` makes one that shares another. A transport of your own (long
 * polling, a native bridge, a test) is such a function. It resolves when the connection has ended, rejects when it failed, and
 * stops at once when `request.signal` says so.
 */
export type Transport = (request: StreamRequest, sink: Sink) => Promise<Outcome>;

export interface StreamRequest {
  readonly url: string;
  readonly method: string;
  /** Without `Accept` and `Last-Event-ID`. */
  readonly headers: Headers;
  readonly body: BodyInit | undefined;
  readonly credentials: RequestCredentials;
  readonly fetch: typeof fetch;
  /** Where the client left off; empty at the beginning. */
  readonly lastEventId: string;
  /** The names that the application listens to. */
  readonly names: () => Iterable<string>;
  /** Ends this connection. */
  readonly signal: AbortSignal;
  /** Aborted when the client will not soon make another: it is closed, or its page is away. */
  readonly session: AbortSignal;
}

/** What a transport tells its client. */
export interface Sink extends ParserSink {
  /** The stream is there. */
  open(): void;
  /** The connection was lost, and the transport makes another by itself. */
  lost(): void;
  /** Something has come, perhaps only a heartbeat. From the first call on, silence is a fault. */
  alive(): void;
}

/** How a connection has ended. */
export interface Outcome {
  /** 200 for a stream that has ended, or else the status that was not one. */
  readonly status: number;
  /** Where the status is 200: the answer was no event stream, but this. */
  readonly contentType?: string;
  /** What the server asks for by `Retry-After`, in milliseconds. (A date there is not read.) */
  readonly retryAfter?: number;
}
