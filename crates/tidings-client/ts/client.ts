import { LONGEST_TIMER, delay } from "./backoff.ts";
import { TidingsError } from "./error.ts";
import { DecodedEvent, END_EVENT, STATUS_EVENT, json } from "./event.ts";
import type {
  AnyEvents, DataOf, End, EndReason, EventMap, EventOf, Names, ResetReason, Status, TidingsEvent,
} from "./event.ts";
import { EventQueue } from "./event_queue.ts";
import { fetchTransport } from "./fetch_transport.ts";
import { Listeners } from "./listeners.ts";
import type { ClientOptions } from "./options.ts";
import { watchPage } from "./page.ts";
import type { Message } from "./parser.ts";
import type { StreamUrl } from "./topics.ts";
import type { Outcome, Sink } from "./transport.ts";

/**
 * What a client is doing:
 *
 * - `connecting`: it has asked for the stream.
 * - `open`: events come.
 * - `waiting`: it will try again.
 * - `paused`: its page is away. It goes on where it was when the page is back.
 * - `closed`: for good. `error` says why, if something has gone wrong; there is none after `close()`, and after the ends `finished` and
 *   `superseded`.
 */
export type ConnectionState = "connecting" | "open" | "waiting" | "paused" | "closed";

/** More about a state. */
export interface StateDetail {
  /** How many attempts, one after the other, have brought nothing. */
  readonly failures: number;
  /** For how many milliseconds it waits. */
  readonly delay?: number;
  /** What has gone wrong. */
  readonly error?: TidingsError;
}

/** Ends what has returned it. */
export type Unsubscribe = () => void;

interface ClientEvents {
  event: [event: TidingsEvent];
  status: [status: Status];
  end: [end: End];
  finished: [];
  state: [state: ConnectionState, detail: StateDetail];
  error: [error: TidingsError];
}

/** Why a connection was ended on this side. */
type Stop = "away" | "silent" | "again" | "closed";

/** Refusals that may be none later, beside those from 500 on. */
const TEMPORARY = [408, 425, 429];

/**
 * A client of one event stream, over all of its connections.
 *
 * It connects in the next microtask, so listeners that are added at once miss nothing, and again after every loss, with the id of
 * its last event. At a hub, nothing is missing, doubled or out of order between two resets, but ephemeral events may be missed.
 */
export class TidingsClient<Events extends EventMap = AnyEvents> implements AsyncIterable<EventOf<Events>> {
  readonly url: string;
  readonly #options: ClientOptions;
  readonly #listeners = new Listeners<ClientEvents>();
  readonly #byName = new Listeners<Record<string, [data: unknown, event: TidingsEvent]>>();
  readonly #stopWatching: () => void;

  #state: ConnectionState = "connecting";
  #status: Status | undefined;
  #lastEventId: string;
  #error: TidingsError | undefined;

  /** The connection that is open. */
  #connection: AbortController | undefined;
  /** Aborted when the client is away or closed. */
  #session = new AbortController();
  #isAway = false;
  #isOffline = false;
  /** Ends a delay, or the time away. */
  #wake: () => void = () => {};
  /** Whether the next connection is wanted at once. */
  #isHurried = false;
  /** How many connections, one after the other, have brought nothing. */
  #failures = 0;
  /** Whether the connection has brought something. */
  #isFruitful = false;
  #retry: number | undefined;
  #renew = false;
  #watchdog: ReturnType<typeof setTimeout> | undefined;
  #lastSign = 0;

  constructor(url: StreamUrl<Events> | string | URL, options: ClientOptions = {}) {
    this.url = String(url);
    this.#options = options;
    this.#lastEventId = options.lastEventId ?? "";
    this.#stopWatching = watchPage({
      away: () => this.#setAway(true),
      back: () => this.#setAway(false),
      offline: () => { this.#isOffline = true; },
      online: () => this.#online(),
    }, options.pauseHiddenAfter);
    queueMicrotask(() => void this.#run());
  }

  /** What it is doing. */
  get state(): ConnectionState {
    return this.#state;
  }

  /** The last status of the stream. */
  get status(): Status | undefined {
    return this.#status;
  }

  /** Where a new client would go on. */
  get lastEventId(): string {
    return this.#lastEventId;
  }

  /** Why it is closed, if something has gone wrong. */
  get error(): TidingsError | undefined {
    return this.#error;
  }

  /** Calls `listener` with the data of each event of this name. */
  on<Name extends Names<Events>>(
    name: Name,
    listener: (data: DataOf<Events, Name>, event: TidingsEvent<Name, DataOf<Events, Name>>) => void,
  ): Unsubscribe {
    return this.#byName.add(name, listener as (data: unknown, event: TidingsEvent) => void);
  }

  /** Calls `listener` with every event, those of the hub included. */
  onEvent(listener: (event: EventOf<Events>) => void): Unsubscribe {
    return this.#listeners.add("event", listener as (event: TidingsEvent) => void);
  }

  /** The stream begins here, perhaps with history or a snapshot. */
  onFresh(listener: (status: Status & { status: "fresh" }) => void): Unsubscribe {
    return this.#listeners.add("status", (status) => { if (status.status === "fresh") listener(status); });
  }

  /** The stream goes on, and everything that was missed follows. */
  onResumed(listener: () => void): Unsubscribe {
    return this.#listeners.add("status", (status) => { if (status.status === "resumed") listener(); });
  }

  /** What is known is void: something was missed that is gone. What is retained follows, or a snapshot. */
  onReset(listener: (reason: ResetReason) => void): Unsubscribe {
    return this.#listeners.add("status", (status) => { if (status.status === "reset") listener(status.reason); });
  }

  /** Nothing is to come any more: all topics are finished, and everything was read. */
  onFinished(listener: () => void): Unsubscribe {
    return this.#listeners.add("finished", listener);
  }

  /** The hub has ended the stream. The client comes back by itself, unless it was `finished` or `superseded`. */
  onEnded(listener: (reason: EndReason, end: End) => void): Unsubscribe {
    return this.#listeners.add("end", (end) => listener(end.reason, end));
  }

  /** Calls `listener` at each change of the state, and at each wait. */
  onState(listener: (state: ConnectionState, detail: StateDetail) => void): Unsubscribe {
    return this.#listeners.add("state", listener);
  }

  /** Something has gone wrong. If it was for good, the state is `closed`. */
  onError(listener: (error: TidingsError) => void): Unsubscribe {
    return this.#listeners.add("error", listener);
  }

  /** Every event from now on. It ends when the client is closed, with an error if something has gone wrong for good. */
  [Symbol.asyncIterator](): AsyncIterator<EventOf<Events>, undefined> {
    const queue = new EventQueue<EventOf<Events>>();
    if (this.#state === "closed") queue.end(this.#error);
    const stop = [
      this.onEvent((event) => queue.push(event)),
      this.onState((state) => { if (state === "closed") queue.end(this.#error); }),
    ];
    queue.onReturn = () => { for (const end of stop) end(); };
    return queue;
  }

  /**
   * Ends the connection, or the wait for the next, and connects again at once, where it was; of a page that is away, when it is back.
   * A tab that follows another (`tabs()`) goes on following. After `close`, nothing.
   */
  reconnect(): void {
    // A listener may be told of a delay that has not begun.
    this.#isHurried = true;
    this.#stop("again");
    this.#wake();
  }

  /** Ends the stream for good. To go on later, make another client with this one's `lastEventId`. */
  close(): void {
    this.#close();
  }

  get #isClosed(): boolean {
    return this.#state === "closed";
  }

  /** All connections, one after the other. */
  async #run(): Promise<void> {
    while (!this.#isClosed) {
      if (this.#isAway) {
        this.#setState("paused");
        await this.#sleep();
        continue;
      }
      const connection = new AbortController();
      this.#connection = connection;
      this.#isFruitful = this.#isHurried = false;
      this.#setState("connecting");
      let outcome: Outcome | undefined;
      let failure: unknown;
      try {
        outcome = await this.#connect(connection);
      } catch (error) {
        failure = error;
      }
      clearTimeout(this.#watchdog);
      this.#watchdog = this.#connection = undefined;
      // Nothing more is heard of it.
      const stop = connection.signal.reason as Stop | undefined;
      connection.abort("again" satisfies Stop);
      if (this.#isClosed) return;
      if (stop === "away" || stop === "again") continue;
      const wait = this.#judge(outcome, failure, stop);
      if (this.#isClosed) return;
      if (wait > 0 && !this.#isHurried) await this.#sleep(wait);
    }
  }

  async #connect(connection: AbortController): Promise<Outcome> {
    const { transport = fetchTransport, body, headers, credentials = "same-origin" } = this.#options;
    const request = {
      url: this.url,
      method: this.#options.method ?? (body === undefined ? "GET" : "POST"),
      headers: new Headers(headers),
      body,
      credentials,
      fetch: this.#options.fetch ?? globalThis.fetch.bind(globalThis),
      names: () => this.#byName.names(),
      signal: connection.signal,
      session: this.#session.signal,
    };
    const { token } = this.#options;
    if (token !== undefined) {
      const value = typeof token === "string" ? token : await orAborted(this.#askForToken(token), connection.signal);
      request.headers.set("Authorization", `Bearer ${value}`);
    }
    connection.signal.throwIfAborted();
    return transport({ ...request, lastEventId: this.#lastEventId }, this.#sink(connection));
  }

  async #askForToken(token: (why: { renew: boolean }) => string | Promise<string>): Promise<string> {
    try {
      return await token({ renew: this.#renew });
    } catch (cause) {
      throw new TidingsError("token", "there is no token", { cause });
    }
  }

  /** What a connection may tell, as long as it is the one. */
  #sink(connection: AbortController): Sink {
    const ifOpen = <Args extends unknown[]>(tell: (...args: Args) => void) => (...args: Args): void => {
      if (!connection.signal.aborted) tell(...args);
    };
    return {
      open: ifOpen(() => this.#setState("open")),
      lost: ifOpen(() => this.#setState("waiting")),
      alive: ifOpen(() => this.#alive()),
      event: ifOpen((message) => this.#receive(message)),
      id: ifOpen((id) => { this.#lastEventId = id; }),
      retry: ifOpen((ms) => { this.#retry = ms; }),
    };
  }

  #receive(message: Message): void {
    if (message.id !== undefined) this.#lastEventId = message.id;
    this.#isFruitful = true;
    this.#failures = 0;
    this.#renew = false;
    if (message.event === STATUS_EVENT || message.event === END_EVENT) return this.#receiveFromHub(message);
    this.#dispatch(new DecodedEvent(message, this.#options.decode ?? json));
  }

  /** The hub's own events are JSON, whatever the application's are. */
  #receiveFromHub(message: Message): void {
    const event = new DecodedEvent(message, json);
    this.#dispatch(event);
    if (event.name === STATUS_EVENT) {
      this.#status = event.data as Status;
      this.#listeners.call("status", this.#status);
      return;
    }
    const end = event.data as End;
    this.#listeners.call("end", end);
    // It would supersede its successor, and that one would supersede it.
    if (end.reason === "superseded") this.#close();
    if (end.reason === "finished") this.#finish();
    this.#renew = end.reason === "expired" || end.reason === "revoked";
  }

  #dispatch(event: DecodedEvent): void {
    this.#listeners.call("event", event);
    if (!this.#byName.has(event.name)) return;
    let data: unknown;
    try {
      data = event.data;
    } catch (cause) {
      const error = new TidingsError("decode", `the data of an event "${event.name}" cannot be decoded`, { cause });
      return this.#listeners.call("error", error);
    }
    this.#byName.call(event.name, data, event);
  }

  /** Decides what follows a connection: the delay until the next, or the end. */
  #judge(outcome: Outcome | undefined, failure: unknown, stop: Stop | undefined): number {
    const { token, maxDelay: max = 30_000, firstDelay: first = 1_000 } = this.#options;
    if (outcome?.status === 204) {
      this.#finish();
      return 0;
    }
    let error: TidingsError | undefined;
    let isFinal = false;
    if (stop === "silent") {
      error = new TidingsError("silent", "the stream was silent for too long");
    } else if (outcome === undefined) {
      error = failure instanceof TidingsError ? failure : new TidingsError("network", "the connection failed", { cause: failure });
      isFinal = error.kind === "unsupported";
    } else if (outcome.status !== 200) {
      const { status } = outcome;
      error = new TidingsError("refused", `the server answered ${status}`, { status });
      isFinal = status >= 400 && status < 500 && !TEMPORARY.includes(status);
      if (status === 401 && typeof token === "function" && !this.#renew) {
        this.#renew = true;
        return 0;
      }
    } else if (outcome.contentType !== undefined) {
      error = new TidingsError("content-type", `the answer is no event stream, but "${outcome.contentType}"`, { status: 200 });
    }
    if (error) {
      this.#listeners.call("error", error);
      if (isFinal) {
        this.#close(error);
        return 0;
      }
    }
    if (!this.#isFruitful) this.#failures += 1;
    const computed = delay(this.#failures, this.#retry, { max, first });
    // While the network is away, an attempt is for the case that this is not true.
    const wait = Math.max(this.#isOffline ? max : computed, outcome?.retryAfter ?? 0);
    this.#setState("waiting", { delay: wait, ...(error && { error }) });
    return wait;
  }

  #alive(): void {
    this.#lastSign = Date.now();
    this.#isOffline = false;
    if (this.#watchdog === undefined) this.#watch(this.#options.silence ?? 45_000);
  }

  /** Looks now and then, so that events need not set a timer each. The clock goes on while a computer sleeps. */
  #watch(after: number): void {
    const { silence = 45_000 } = this.#options;
    if (!(silence > 0 && silence < Infinity)) return;
    this.#watchdog = setTimeout(() => {
      const now = Date.now();
      // The clock may have been set back.
      this.#lastSign = Math.min(this.#lastSign, now);
      const left = this.#lastSign + silence - now;
      if (left > 0) this.#watch(left);
      else this.#stop("silent");
    }, Math.min(after, LONGEST_TIMER));
  }

  #setAway(isAway: boolean): void {
    if (isAway === this.#isAway || this.#isClosed) return;
    this.#isAway = isAway;
    if (isAway) {
      this.#session.abort();
      this.#stop("away");
    } else {
      this.#session = new AbortController();
    }
    this.#wake();
  }

  #online(): void {
    // Nothing has come since the network went away: what is open may be dead, and would be silent for long.
    if (this.#isOffline) this.#stop("again");
    this.#isOffline = false;
    // Not all in an office at the same moment.
    const wake = this.#wake;
    setTimeout(() => wake(), Math.random() * 500);
  }

  #stop(reason: Stop): void {
    this.#connection?.abort(reason);
  }

  /** Until it is woken, or for a time. */
  #sleep(ms?: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        // One that is called late leaves what came after it alone.
        if (this.#wake === end) this.#wake = () => {};
        resolve();
      };
      const timer = ms === undefined ? undefined : setTimeout(end, Math.min(ms, LONGEST_TIMER));
      this.#wake = end;
    });
  }

  #finish(): void {
    if (this.#isClosed) return;
    this.#listeners.call("finished");
    this.#close();
  }

  #close(error?: TidingsError): void {
    if (this.#isClosed) return;
    this.#error = error;
    this.#stopWatching();
    clearTimeout(this.#watchdog);
    this.#setState("closed", error && { error });
    this.#session.abort();
    this.#stop("closed");
    this.#wake();
  }

  #setState(state: ConnectionState, detail: Partial<StateDetail> = {}): void {
    // A listener that was told of something else may have closed it.
    if (this.#isClosed || (state === this.#state && state !== "waiting")) return;
    this.#state = state;
    this.#listeners.call("state", state, { failures: this.#failures, ...detail });
  }
}

/** What is promised, unless the signal is aborted first: whoever makes a token may never answer. */
function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject);
  });
}

/** Opens a stream: see {@link TidingsClient}. */
export function connect<Events extends EventMap = AnyEvents>(
  url: StreamUrl<Events> | string | URL,
  options?: ClientOptions,
): TidingsClient<Events> {
  return new TidingsClient<Events>(url, options);
}
