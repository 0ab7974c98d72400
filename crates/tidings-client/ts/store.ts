import type { TidingsClient, Unsubscribe } from "./client.ts";
import type { DataOf, EventMap, Names, TidingsEvent } from "./event.ts";
import { onNextPaint } from "./paint.ts";

/** How the state of a page follows from events. States are never changed, but replaced. */
export interface StoreOptions<Events extends EventMap, State> {
  /** What there is before the first event. */
  readonly initial: State;
  /**
   * What there is after a reset, before the retained events or the snapshot that follow; `initial` by default. Set it where `initial`
   * is the state of a rendered page, which is void then.
   */
  readonly afterReset?: State;
  /** The next state, for each event that changes it. */
  readonly on: {
    readonly [Name in Names<Events>]?: (
      state: State,
      data: DataOf<Events, Name>,
      event: TidingsEvent<Name, DataOf<Events, Name>>,
    ) => State;
  };
}

/** A state that events make. It is a store for React's `useSyncExternalStore`, and for Svelte. */
export interface Store<State> {
  get(): State;
  /** Calls back with the state now, and once for each paint before which it has changed. */
  subscribe(listener: (state: State) => void): Unsubscribe;
  /** Follows the events no more. */
  close(): void;
}

/** A store that is cleared on reset, and filled by what follows: history, a snapshot, events. */
export function createStore<Events extends EventMap, State>(
  client: TidingsClient<Events>,
  options: StoreOptions<Events, State>,
): Store<State> {
  const { initial, afterReset = initial, on } = options;
  const listeners = new Set<{ call: (state: State) => void }>();
  let state = initial;
  let cancel: Unsubscribe | undefined;
  const set = (next: State): void => {
    if (Object.is(next, state)) return;
    state = next;
    cancel ??= onNextPaint(() => {
      cancel = undefined;
      for (const { call } of [...listeners]) call(state);
    });
  };
  const stops = [client.onReset(() => set(afterReset))];
  const follow = <Name extends Names<Events>>(name: Name): void => {
    const next: StoreOptions<Events, State>["on"][Name] = on[name];
    if (next) stops.push(client.on(name, (data, event) => set(next(state, data, event))));
  };
  for (const name of Object.keys(on) as Names<Events>[]) follow(name);
  return {
    get: () => state,
    subscribe: (call) => {
      const listener = { call };
      listeners.add(listener);
      call(state);
      return () => void listeners.delete(listener);
    },
    close: () => {
      cancel?.();
      for (const stop of stops) stop();
    },
  };
}
