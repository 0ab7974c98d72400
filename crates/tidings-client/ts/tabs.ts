import { absolute } from "./address.ts";
import { fetchTransport } from "./fetch_transport.ts";
import { Tab } from "./tab.ts";
import type { TabsEnvironment } from "./tab.ts";
import type { Transport } from "./transport.ts";

export interface TabsOptions {
  /**
   * What the tabs share: the URL by default. Tabs of different users must have different names, because a tab gets what the
   * leader's stream brings.
   */
  readonly name?: string;
  /** How the leader reads the stream: `fetchTransport` by default. */
  readonly over?: Transport;
}

/**
 * One connection for all tabs of an origin, which get every event once and in order.
 *
 * One tab is the *leader*: it holds a lock (Web Locks), reads the stream, and passes on what comes (BroadcastChannel). When it
 * goes, the browser gives the lock to the next, which resumes where it is. A new tab begins with a stream of its own, for its
 * own status, history or snapshot, and ends it when the leader has the rest.
 *
 * Where the browser has no locks (pages without TLS, except on localhost), each tab has its own stream.
 */
export function tabs(options: TabsOptions = {}): Transport {
  return tabsIn(browser, options);
}

function browser(): TabsEnvironment | undefined {
  const { navigator, BroadcastChannel, document } = globalThis as Partial<typeof globalThis>;
  const locks = navigator?.locks as LockManager | undefined;
  if (!locks || !BroadcastChannel) return undefined;
  return {
    locks,
    channel: (name) => new BroadcastChannel(name),
    isVisible: () => document?.visibilityState === "visible",
  };
}

/** The same in an environment of a test. */
export function tabsIn(find: () => TabsEnvironment | undefined, { name, over = fetchTransport }: TabsOptions): Transport {
  // Clients that are given the same transport are tabs of their own.
  const tabs = new WeakMap<AbortSignal, Tab>();
  return (request, sink) => {
    const environment = find();
    if (!environment) return over(request, sink);
    let tab = tabs.get(request.session);
    try {
      tab ??= new Tab(name ?? absolute(request.url).href, over, request, environment);
    } catch {
      // Channels are not allowed here.
      return over(request, sink);
    }
    tabs.set(request.session, tab);
    return tab.run(request, sink);
  };
}
