import { TidingsClient } from "./client.ts";
import type { EventMap } from "./event.ts";
import type { ClientOptions } from "./options.ts";

declare const EVENTS: unique symbol;

/** The address of a stream, whose type knows the events. It is a string. */
export type StreamUrl<Events extends EventMap> = string & { readonly [EVENTS]?: Events };

/** What topics there are, with their events: `{ orders: { created: Order }; "room:*": … }`. The crate `tidings` writes it. */
export type TopicMap = object;

/** What a pattern matches: `room:${string}` for `room:*`. */
type Matching<Pattern extends string> =
  Pattern extends `${infer Before}*${infer After}` ? `${Before}${string}${Matching<After>}` : Pattern;

type Keys<Topics extends TopicMap> = keyof Topics & string;

/** The names of a map's topics, those that match its patterns, and the patterns. */
export type TopicName<Topics extends TopicMap> = Matching<Keys<Topics>>;

/** The entries of a map for a name: its own, or the patterns that match it; for a pattern, also what that matches. */
type Entries<Topics extends TopicMap, Name extends string> =
  Name extends `${string}*${string}` ? Overlapping<Topics, Name>
  : Name extends Keys<Topics> ? Name
  : Overlapping<Topics, Name>;

type Overlapping<Topics extends TopicMap, Name extends string> = {
  [Key in Keys<Topics>]: Name extends Matching<Key> ? Key : Key extends Matching<Name> ? Key : never;
}[Keys<Topics>];

/** The events of one of a map's topics, or of several that a stream has together. */
export type TopicEvents<Topics extends TopicMap, Name extends TopicName<Topics>> =
  Merged<Topics[Entries<Topics, Name>]>;

type Merged<Maps> = { readonly [Name in NamesIn<Maps>]: DataIn<Maps, Name> };
type NamesIn<Maps> = Maps extends unknown ? keyof Maps : never;
type DataIn<Maps, Name> = Maps extends unknown ? (Name extends keyof Maps ? Maps[Name] : never) : never;

/** The streams of an application's topics. */
export interface TopicStreams<Topics extends TopicMap> {
  /** The address of a topic's stream, or of one for several: for `connect`, and for the hooks of frameworks. */
  url<const Name extends TopicName<Topics>>(topics: Name | readonly Name[]): StreamUrl<TopicEvents<Topics, Name>>;
  /** Opens it. */
  subscribe<const Name extends TopicName<Topics>>(
    topics: Name | readonly Name[],
    options?: ClientOptions,
  ): TidingsClient<TopicEvents<Topics, Name>>;
}

/**
 * The streams of topics at `address`, which is asked for them by `topic=…`, once for each; or a function that makes an address
 * of their names.
 */
export function topics<Topics extends TopicMap>(
  address: string | ((topics: readonly string[]) => string),
): TopicStreams<Topics> {
  const url = (topics: string | readonly string[]): string => {
    const names = typeof topics === "string" ? [topics] : topics;
    if (typeof address !== "string") return address(names);
    const query = names.map((name) => `topic=${encodeURIComponent(name)}`).join("&");
    return `${address}${address.includes("?") ? "&" : "?"}${query}`;
  };
  return { url, subscribe: (topics, options) => new TidingsClient(url(topics), options) };
}
