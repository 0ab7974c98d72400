import { onMounted, onScopeDispose, readonly, shallowRef } from "vue";
import type { ShallowRef } from "vue";
import type { AnyEvents, EventMap } from "./event.ts";
import { liveStore } from "./live.ts";
import type { Live, LiveOptions } from "./live.ts";
import type { StreamUrl } from "./topics.ts";

export type { Live, LiveOptions } from "./live.ts";

/**
 * The state that the events of a stream make, and how the stream is. It is open while the component is mounted; on a server, and
 * until then, the state is `initial`. The `url` and the options are read once: for another stream, give the component another `key`.
 */
export function useTidings<State, Events extends EventMap = AnyEvents>(
  url: StreamUrl<Events> | string,
  options: LiveOptions<Events, State>,
): Readonly<ShallowRef<Live<State>>> {
  const store = liveStore(url, options);
  const live = shallowRef(store.get());
  let stop: (() => void) | undefined;
  onMounted(() => {
    stop = store.subscribe((next) => { live.value = next; });
  });
  onScopeDispose(() => stop?.());
  return readonly(live) as Readonly<ShallowRef<Live<State>>>;
}
