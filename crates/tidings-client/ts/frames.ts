import type { TidingsClient, Unsubscribe } from "./client.ts";
import type { EventMap, EventOf } from "./event.ts";

/** How long a frame may take, where pages are not painted. */
const LATE_MS = 100;

/** Calls back once, before the next paint; or a little later where nothing is painted: in a hidden page, in a worker. */
export function onNextFrame(callback: () => void): Unsubscribe {
  const { requestAnimationFrame, cancelAnimationFrame } = globalThis as Partial<typeof globalThis>;
  const cancel = (): void => {
    clearTimeout(timer);
    if (frame !== undefined) cancelAnimationFrame?.(frame);
  };
  const run = (): void => {
    cancel();
    callback();
  };
  const timer = setTimeout(run, requestAnimationFrame ? LATE_MS : 16);
  const frame = requestAnimationFrame?.(run);
  return cancel;
}

/** Calls `listener` once for each frame with all events that have come since the last: for streams that are faster than eyes. */
export function frames<Events extends EventMap>(
  client: TidingsClient<Events>,
  listener: (events: EventOf<Events>[]) => void,
): Unsubscribe {
  let events: EventOf<Events>[] = [];
  let cancel: Unsubscribe | undefined;
  const stop = client.onEvent((event) => {
    events.push(event);
    cancel ??= onNextFrame(() => {
      const all = events;
      events = [];
      cancel = undefined;
      listener(all);
    });
  });
  return () => {
    stop();
    cancel?.();
  };
}
