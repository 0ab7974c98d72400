import type { Decode } from "./event.ts";
import type { Transport } from "./transport.ts";

/** Times are in milliseconds. */
export interface ClientOptions {
  /**
   * How streams are read: `fetchTransport` unless it is set. `eventSourceTransport()` is the browser's `EventSource`, and `tabs()`
   * one connection for all tabs.
   */
  readonly transport?: Transport;
  /**
   * `GET` by default, and `POST` with a body. The request is made again at each connection, also after an orderly end: it may ask for
   * something, and must not do anything.
   */
  readonly method?: string;
  readonly headers?: HeadersInit;
  readonly body?: BodyInit;
  /** Whether cookies are sent to another origin: `same-origin` by default. */
  readonly credentials?: RequestCredentials;
  /**
   * The bearer token, asked for before each connection. `renew` says that the server has refused the last one, or that its time
   * was over. The client goes on where it was. It waits as long as that takes, since somebody may have to log in; `reconnect()`,
   * or the page's coming back, asks again. With `tabs()`, it is asked for when a tab begins to follow the leader: when that tab
   * makes a connection of its own later, a token that has expired meanwhile must be answered with 401.
   */
  readonly token?: string | ((why: { readonly renew: boolean }) => string | Promise<string>);
  /** The id of the last event that is known, such as that of a page that was rendered with its state. */
  readonly lastEventId?: string;
  /** Makes data of an event's text: `json` by default, or `text`. */
  readonly decode?: Decode;
  /**
   * How long a stream may be silent before it is taken for dead; 45,000, three heartbeats of a hub, by default. Set it to more if the
   * hub's heartbeats are rarer; `Infinity` for no limit.
   */
  readonly silence?: number;
  /** The longest delay between two attempts, but for what a server asks for: 30,000 by default. */
  readonly maxDelay?: number;
  /**
   * What delays grow from, where the server has not said a `retry`: 1,000 by default. A delay is random: at most this after a stream
   * that has brought something, and at most twice, four times and so on as long after each attempt that has brought nothing.
   */
  readonly firstDelay?: number;
  /** Closes the stream of a page that has been hidden for this long, until it is seen again. Never by default. */
  readonly pauseHiddenAfter?: number;
  /** Another `fetch`. */
  readonly fetch?: typeof fetch;
}
