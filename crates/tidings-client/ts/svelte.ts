import type { AnyEvents, EventMap } from "./event.ts";
import { liveStore } from "./live.ts";
import type { Live, LiveOptions } from "./live.ts";
import type { StreamUrl } from "./topics.ts";

export type { Live, LiveOptions } from "./live.ts";

/** What Svelte calls a readable store. */
export interface Readable<T> {
  subscribe(run: (value: T) => void): () => void;
}

/**
 * The state that the events of a stream make, and how the stream is: `$orders.state`. It is open while somebody subscribes. On a
 * server, which subscribes and leaves at once, nothing is opened.
 */
export function tidings<State, Events extends EventMap = AnyEvents>(
  url: StreamUrl<Events> | string,
  options: LiveOptions<Events, State>,
): Readable<Live<State>> {
  return liveStore(url, options);
}
