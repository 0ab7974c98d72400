import type { TidingsClient, Unsubscribe } from "./client.ts";
import type { EventMap, EventOf } from "./event.ts";

/** After how long a paint is not waited for. */
const LATE_MS = 100;

/** Calls back once, before the next paint; or a little later where nothing is painted: in a hidden page, in a worker. */
export function onNextPaint(callback: () => void): Unsubscribe {
  const { requestAnimationFrame, cancelAnimationFrame } = globalThis as Partial<typeof globalThis>;
  const cancel = (): void => {
    clearTimeout(timer);
    if (request !== undefined) cancelAnimationFrame?.(request);
  };
  const run = (): void => {
    cancel();
    callback();
  };
  const timer = setTimeout(run, requestAnimationFrame ? LATE_MS : 16);
  const request = requestAnimationFrame?.(run);
  return cancel;
}

/** Calls `listener` before each paint with all events that have come since the last: for streams that are faster than eyes. */
export function eachPaint<Events extends EventMap>(
  client: TidingsClient<Events>,
  listener: (events: EventOf<Events>[]) => void,
): Unsubscribe {
  let events: EventOf<Events>[] = [];
  let cancel: Unsubscribe | undefined;
  const stop = client.onEvent((event) => {
    events.push(event);
    cancel ??= onNextPaint(() => {
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
