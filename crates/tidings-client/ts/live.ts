import { TidingsClient } from "./client.ts";
import type { ConnectionState } from "./client.ts";
import type { TidingsError } from "./error.ts";
import type { EventMap } from "./event.ts";
import type { ClientOptions } from "./options.ts";
import { createStore } from "./store.ts";
import type { Store, StoreOptions } from "./store.ts";
import type { StreamUrl } from "./topics.ts";

/** A state, and how its stream is. */
export interface Live<State> {
  readonly state: State;
  readonly connection: ConnectionState;
  /** Why the connection is closed, if something has gone wrong for good. */
  readonly error: TidingsError | undefined;
}

export type LiveOptions<Events extends EventMap, State> = ClientOptions & StoreOptions<Events, State>;

/** A store whose stream is open as long as it has a subscriber. The next one goes on where the last one was. */
export function liveStore<Events extends EventMap, State>(
  url: StreamUrl<Events> | string | URL,
  options: LiveOptions<Events, State>,
): Omit<Store<Live<State>>, "close"> {
  const listeners = new Set<{ call: (live: Live<State>) => void }>();
  let live: Live<State> = { state: options.initial, connection: "connecting", error: undefined };
  let lastEventId = options.lastEventId;
  let close: (() => void) | undefined;

  const set = (change: Partial<Live<State>>): void => {
    live = { ...live, ...change };
    for (const { call } of [...listeners]) call(live);
  };
  const open = (): void => {
    live = { ...live, connection: "connecting", error: undefined };
    const client = new TidingsClient<Events>(url, { ...options, ...(lastEventId !== undefined && { lastEventId }) });
    const { initial, afterReset = initial } = options;
    const store = createStore(client, { ...options, initial: live.state, afterReset });
    client.onState((connection) => set({ connection, error: client.error }));
    let isFirst = true;
    store.subscribe((state) => { if (!isFirst) set({ state }); });
    isFirst = false;
    close = () => {
      live = { ...live, state: store.get() };
      lastEventId = client.lastEventId;
      store.close();
      client.close();
    };
  };
  return {
    get: () => live,
    subscribe: (call) => {
      const listener = { call };
      listeners.add(listener);
      if (listeners.size === 1) open();
      call(live);
      return () => {
        if (!listeners.delete(listener) || listeners.size > 0) return;
        close?.();
        close = undefined;
      };
    },
  };
}
