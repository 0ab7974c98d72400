import type { Message } from "./parser.ts";

/** The name of a hub's status event. */
export const STATUS_EVENT = "tidings:status";

/** The name of the event with which a hub ends a stream. */
export const END_EVENT = "tidings:end";

/** What events there are: `{ created: Order; shipped: { number: number } }`. */
export type EventMap = object;

/** Where nothing is said about events, every name is allowed, with any data. */
export type AnyEvents = Record<string, any>;

/** The names of the events. */
export type Names<Events extends EventMap> = (keyof Events | keyof HubEvents) & string;

/** The data of the events of a name. */
export type DataOf<Events extends EventMap, Name> =
  Name extends keyof HubEvents ? HubEvents[Name] : Name extends keyof Events ? Events[Name] : never;

/** How a stream begins, or goes on after a reset. */
export type Status =
  /** The client did not say where it left off. Without `complete: false`, it gets all the history that the server offers. */
  | { readonly status: "fresh"; readonly client: string; readonly complete?: false }
  /** Everything that was missed follows. */
  | { readonly status: "resumed"; readonly client: string }
  /** What the client knows is void. */
  | { readonly status: "reset"; readonly reason: ResetReason; readonly client: string };

/** Why a client is reset: events grew too old, were removed to make room, or its id is not of this history. */
export type ResetReason = "expired" | "trimmed" | "unknown" | (string & {});

/** Why a hub ended a stream. */
export type EndReason =
  | "expired" | "revoked" | "limited" | "superseded" | "drained" | "lifetime" | "finished" | (string & {});

/** The data of {@link END_EVENT}. */
export interface End {
  readonly reason: EndReason;
  /** Which limit, if the reason is `limited`. */
  readonly limit?: string;
}

/** What the hub itself sends. */
export interface HubEvents {
  [STATUS_EVENT]: Status;
  [END_EVENT]: End;
}

/** One event. */
export interface TidingsEvent<Name extends string = string, Data = unknown> {
  readonly name: Name;
  /** The data, decoded: see `decode` of the options. Reading it throws what that throws; `text` is always there. */
  readonly data: Data;
  /** The data as it came. */
  readonly text: string;
  /** The event's own id. Ephemeral events have none. */
  readonly id: string | undefined;
}

/** Any event of a map, to be told apart by `name`. */
export type EventOf<Events extends EventMap> = {
  [Name in Names<Events>]: TidingsEvent<Name, DataOf<Events, Name>>;
}[Names<Events>];

/** Makes an event's data of its text. */
export type Decode = (text: string, name: string) => unknown;

/** JSON; nothing for an event without data. */
export const json: Decode = (text) => (text === "" ? undefined : JSON.parse(text));

/** The text itself. */
export const text: Decode = (text) => text;

/** The data is decoded once, and only if it is looked at. */
export class DecodedEvent implements TidingsEvent {
  readonly name: string;
  readonly text: string;
  readonly id: string | undefined;
  readonly #decode: Decode;
  #data: unknown;
  #isDecoded = false;

  constructor({ event, data, id }: Message, decode: Decode) {
    this.name = event;
    this.text = data;
    this.id = id;
    this.#decode = decode;
  }

  get data(): unknown {
    if (!this.#isDecoded) {
      this.#data = this.#decode(this.text, this.name);
      this.#isDecoded = true;
    }
    return this.#data;
  }
}
