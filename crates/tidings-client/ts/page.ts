import { LONGEST_TIMER } from "./backoff.ts";

/** What a page's life means for its connections. Outside of a page, nothing. */
export interface PageEvents {
  /** Nobody is to see or hear anything until `back`. */
  away(): void;
  back(): void;
  offline(): void;
  online(): void;
}

/**
 * Watches the page: it is left (and may come back from the back/forward cache, where an open connection would cost one of six),
 * hidden for longer than `hiddenAfter` milliseconds, offline. Returns what ends that.
 */
export function watchPage(events: PageEvents, hiddenAfter: number | undefined): () => void {
  const { addEventListener, document } = globalThis as Partial<typeof globalThis>;
  if (!addEventListener) return () => {};
  const stop = new AbortController();
  const on = (target: EventTarget, name: string, listener: () => void): void => {
    target.addEventListener(name, listener, { signal: stop.signal });
  };
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isHidden = false;
  let isLeft = false;
  const changed = (): void => (isHidden || isLeft ? events.away() : events.back());
  const setHidden = (hidden: boolean): void => {
    isHidden = hidden;
    changed();
  };
  on(globalThis, "offline", events.offline);
  on(globalThis, "online", events.online);
  on(globalThis, "pagehide", () => {
    isLeft = true;
    changed();
  });
  on(globalThis, "pageshow", () => {
    isLeft = false;
    changed();
  });
  if (document && hiddenAfter !== undefined && hiddenAfter <= LONGEST_TIMER) {
    const look = (): void => {
      clearTimeout(timer);
      if (document.visibilityState === "hidden") timer = setTimeout(setHidden, hiddenAfter, true);
      else setHidden(false);
    };
    on(document, "visibilitychange", look);
    look();
  }
  return () => {
    clearTimeout(timer);
    stop.abort();
  };
}
