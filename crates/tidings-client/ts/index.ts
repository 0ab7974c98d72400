export { TidingsClient, connect } from "./client.ts";
export type { ConnectionState, StateDetail, Unsubscribe } from "./client.ts";
export { TidingsError } from "./error.ts";
export type { ErrorKind } from "./error.ts";
export { END_EVENT, STATUS_EVENT, json, text } from "./event.ts";
export type {
  AnyEvents, DataOf, Decode, End, EndReason, EventMap, EventOf, HubEvents, Names, ResetReason, Status, TidingsEvent,
} from "./event.ts";
export { eventSourceTransport } from "./event_source_transport.ts";
export type { EventSourceOptions } from "./event_source_transport.ts";
export { fetchTransport } from "./fetch_transport.ts";
export { eachPaint } from "./paint.ts";
export type { ClientOptions } from "./options.ts";
export { EventStreamParser } from "./parser.ts";
export type { Message, ParserSink } from "./parser.ts";
export { createStore } from "./store.ts";
export type { Store, StoreOptions } from "./store.ts";
export { topics } from "./topics.ts";
export type { StreamUrl, TopicEvents, TopicMap, TopicName, TopicStreams } from "./topics.ts";
export type { Outcome, Sink, StreamRequest, Transport } from "./transport.ts";
