import { useMemo, useSyncExternalStore } from "react";
import type { AnyEvents, EventMap } from "./event.ts";
import { liveStore } from "./live.ts";
import type { Live, LiveOptions } from "./live.ts";
import type { StreamUrl } from "./topics.ts";

export type { Live, LiveOptions } from "./live.ts";

/**
 * The state that the events of a stream make, and how the stream is. It is open while the component is mounted; on a server, and
 * until then, the state is `initial`.
 *
 * Another `url` is another stream. The other options are those of the first render with it: functions of `on` must not use the
 * component's props and state.
 */
export function useTidings<State, Events extends EventMap = AnyEvents>(
  url: StreamUrl<Events> | string,
  options: LiveOptions<Events, State>,
): Live<State> {
  const store = useMemo(() => liveStore(url, options), [url]);
  return useSyncExternalStore(store.subscribe, store.get, store.get);
}
