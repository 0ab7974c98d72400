import { END_EVENT } from "./event.ts";
import { Received } from "./received.ts";
import type { Entry, Place } from "./received.ts";
import type { Message } from "./parser.ts";
import { isUpTo } from "./position.ts";
import type { Outcome, Sink, StreamRequest, Transport } from "./transport.ts";

/** What tabs need of their browser. */
export interface TabsEnvironment {
  readonly locks: Pick<LockManager, "request">;
  readonly channel: (name: string) => BroadcastChannel;
  /** Whether somebody sees the tab. */
  readonly isVisible: () => boolean;
}

/** What tabs tell each other. */
type Note =
  /** Who leads? */
  | { readonly type: "who" }
  /** I do: my stream has come so far, and I have everything after `lowWatermark`. */
  | (Place & { readonly type: "lead"; readonly isOpen: boolean; readonly lowWatermark: string | undefined })
  | { readonly type: "alive" }
  | { readonly type: "entries"; readonly entries: Entry[] }
  /** Nothing came between the two: of a block with only an id. */
  | { readonly type: "id"; readonly after: string; readonly id: string }
  /** What came after this id? */
  | { readonly type: "after"; readonly from: string; readonly id: string }
  | (Place & { readonly type: "answer"; readonly to: string; readonly entries: Entry[] | undefined });

type Leader = Note & { readonly type: "lead" };

interface Following {
  readonly sink: Sink;
  /** Once it is aborted, the client hears nothing more, and would miss what is taken. */
  readonly signal: AbortSignal;
  readonly end: () => void;
  askedAt: number;
  lost: ReturnType<typeof setTimeout> | undefined;
}

/** Of the notes: tabs that were opened before an update of the application may be of another version. */
const PROTOCOL = 1;
/** How long a leader may take to answer before a tab helps itself, and before it takes its place. */
const ANSWER_MS = 1_000;
const REPLACE_MS = 10_000;
/** How long a tab waits for the leader's stream to open, before it asks again who leads. */
const OPEN_MS = 5_000;
/** How often a tab with its own stream looks whether it may follow. */
const LOOK_MS = 150;
/** How long its stream may be open while a leader cannot take over. */
const MEET_MS = 2_000;
/** How often at most a tab may take the lock from another. */
const STEAL_MS = 60_000;
/** How often at most the leader says that its stream lives. */
const ALIVE_MS = 1_000;
/** How many tabs may begin at a time, and for how long they keep others waiting. */
const BEGINNERS = 2;
const BEGIN_MS = 5_000;

/** Why a tab ends its own stream. */
const MET = "met";

/** One tab, as long as its page is there. */
export class Tab {
  readonly session: AbortSignal;
  readonly #name: string;
  readonly #id: string = randomId();
  readonly #over: Transport;
  readonly #environment: TabsEnvironment;
  readonly #channel: BroadcastChannel;
  readonly #received: Received;

  #isLeading = false;
  /** The request by which it has got the lock. */
  #grant: LockOptions | undefined;
  #stoleAt = -Infinity;
  /** What the leader has said last. */
  #leader: Leader | undefined;
  /** When it was asked, and has not answered yet. */
  #askedAt: number | undefined;
  /** Its own stream, and since when it has brought something. */
  #own: { readonly stop: AbortController; openSince: number | undefined } | undefined;
  /** The sink of the stream that it follows, and what ends that. */
  #following: Following | undefined;
  /** Where a stream of its own goes on: nothing came between `after` and `id`. No place of entries: others may not know of it. */
  #idle: { readonly after: string; readonly id: string } | undefined;
  readonly #waiting = new Set<() => void>();
  #unsent: Entry[] = [];
  /** The hub has just ended its stream. */
  #hasEnded = false;
  #saidAliveAt = -Infinity;

  constructor(name: string, over: Transport, request: StreamRequest, environment: TabsEnvironment) {
    this.#name = `tidings ${PROTOCOL}: ${name}`;
    this.#over = over;
    this.#environment = environment;
    this.session = request.session;
    this.#received = new Received(request.lastEventId);
    this.#channel = environment.channel(this.#name);
    this.#channel.onmessage = ({ data }: MessageEvent<Note>) => this.#hear(data);
    this.session.addEventListener("abort", () => this.#channel.close());
    this.#queue({ signal: this.session });
  }

  /** Follows the leader, or reads a stream, until that has ended. */
  async run(request: StreamRequest, sink: Sink): Promise<Outcome> {
    const { signal } = request;
    for (;;) {
      signal.throwIfAborted();
      const leader = await this.#findLeader(signal);
      signal.throwIfAborted();
      // A browser lets hidden tabs wait for long before they try again; one that is seen does not wait for them.
      if (leader && !leader.isOpen && !this.#environment.isVisible()) continue;
      if (leader?.isOpen && this.#isCovered(leader)) {
        await this.#follow(sink, signal);
        continue;
      }
      const outcome = await this.#read(request, sink);
      if (outcome) return outcome;
    }
  }

  /** Waits for the lock; with `steal`, takes it. Whoever has it leads until it is robbed, or its session is over. */
  #queue(options: LockOptions): void {
    let isGranted = false;
    const lead = (): Promise<void> => {
      if (this.session.aborted) return Promise.resolve();
      isGranted = true;
      this.#isLeading = true;
      this.#grant = options;
      this.#leader = undefined;
      this.#announce();
      this.#changed();
      return new Promise((resolve) => this.session.addEventListener("abort", () => {
        // A tab that takes its place before it hears of the end would supersede what has superseded this one.
        if (this.#hasEnded) setTimeout(resolve, ANSWER_MS);
        else resolve();
      }));
    };
    this.#environment.locks.request(this.#name, options, lead).catch(() => {
      // Or locks are not allowed here, and each tab has its own stream.
      if (this.session.aborted || !isGranted) return;
      if (!options.steal) this.#queue({ signal: this.session });
      // It was robbed, unless by itself. `#meet` ends its stream.
      if (this.#grant === options) this.#isLeading = false;
    });
  }

  /** Who leads, if that is another tab, and answers. Waits for its stream to open. */
  async #findLeader(signal: AbortSignal): Promise<Leader | undefined> {
    if (this.#isLeading) return undefined;
    this.#leader = undefined;
    this.#say({ type: "who" });
    await this.#until(() => this.#leader !== undefined, ANSWER_MS, signal);
    if (this.#leader !== undefined) await this.#until(() => this.#leader?.isOpen === true, OPEN_MS, signal);
    return this.#isLeading ? undefined : this.#leader;
  }

  /** Whether the leader has everything that this tab has not. */
  #isCovered({ lowWatermark }: Leader): boolean {
    return lowWatermark !== undefined && isUpTo(lowWatermark, this.#received.cursor);
  }

  /** Until the leader cannot go on with this tab, or this tab leads. */
  async #follow(sink: Sink, signal: AbortSignal): Promise<void> {
    await new Promise<void>((end) => {
      signal.addEventListener("abort", () => end(), { once: true });
      this.#following = { sink, signal, end, askedAt: -Infinity, lost: undefined };
      sink.open();
      // From here on, a silent leader is a fault, also of one that was never heard.
      sink.alive();
      this.#askForMore();
    });
    clearTimeout(this.#following?.lost);
    this.#following = undefined;
  }

  /** Its own stream, until that has ended; or `undefined` when the leader can go on with this tab. */
  async #read(request: StreamRequest, sink: Sink): Promise<Outcome | undefined> {
    const { signal } = request;
    const release = this.#isLeading ? undefined : await this.#begin(signal);
    // The abort has ended the beginning, too.
    signal.throwIfAborted();
    const stop = new AbortController();
    const abort = (): void => stop.abort(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    const own = { stop, openSince: undefined };
    this.#own = own;
    const look = setInterval(() => this.#meet(), LOOK_MS);
    try {
      const { cursor } = this.#received;
      const lastEventId = this.#idle?.after === cursor ? this.#idle.id : cursor;
      return await this.#over({ ...request, lastEventId, signal: stop.signal }, this.#sink(sink, stop.signal, randomId()));
    } catch (error) {
      if (stop.signal.reason === MET) return undefined;
      throw error;
    } finally {
      stop.abort();
      clearInterval(look);
      signal.removeEventListener("abort", abort);
      this.#own = undefined;
      release?.();
      if (this.#isLeading) this.#announce();
    }
  }

  /** Only a few tabs begin at a time: they would need all connections that a browser opens. Resolves to the end of it. */
  async #begin(signal: AbortSignal): Promise<() => void> {
    const slot = `${this.#name}:${Math.floor(Math.random() * BEGINNERS)}`;
    const end = new AbortController();
    const abort = (): void => end.abort();
    signal.addEventListener("abort", abort, { once: true });
    await new Promise<void>((begin) => {
      // A leader waits for nobody.
      const look = (): void => {
        if (this.#isLeading) begin();
      };
      this.#waiting.add(look);
      end.signal.addEventListener("abort", () => this.#waiting.delete(look));
      const hold = (): Promise<void> => {
        begin();
        setTimeout(abort, BEGIN_MS);
        return new Promise((resolve) => {
          if (end.signal.aborted) resolve();
          end.signal.addEventListener("abort", () => resolve());
        });
      };
      this.#environment.locks.request(slot, { signal: end.signal }, hold).catch(() => begin());
    });
    return abort;
  }

  /** A tab with its own stream looks for a leader who has the rest, or becomes the leader. */
  #meet(): void {
    const own = this.#own;
    if (this.#isLeading || !own || own.openSince === undefined) return;
    const now = performance.now();
    const leader = this.#leader;
    if (leader?.isOpen && this.#isCovered(leader)) return own.stop.abort(MET);
    this.#askedAt ??= now;
    this.#say({ type: "who" });
    // It does not answer, has lost its stream, or began after this tab: this one's stream is good for both.
    const isSilent = now - this.#askedAt > REPLACE_MS;
    const isUseless = leader !== undefined && now - own.openSince > MEET_MS && !this.#isBehind(leader);
    if (this.#received.lowWatermark === undefined || !(isSilent || isUseless) || now - this.#stoleAt < STEAL_MS) return;
    this.#stoleAt = now;
    this.#askedAt = undefined;
    this.#queue({ steal: true });
  }

  /** Whether this tab's stream would not do for the leader, but the leader's will do for this tab soon. */
  #isBehind({ isOpen, cursor }: Leader): boolean {
    const { lowWatermark } = this.#received;
    return isOpen && lowWatermark !== undefined && cursor !== lowWatermark && isUpTo(cursor, lowWatermark);
  }

  /**
   * Passes on what its own stream brings: to the client, and if this tab leads, to the others. What is left of a piece when a
   * listener has ended the stream comes again by the next one: this tab is not further than its client.
   */
  #sink(sink: Sink, signal: AbortSignal, stream: string): Sink {
    return {
      ...sink,
      alive: () => {
        sink.alive();
        const now = performance.now();
        if (!this.#isLeading || now - this.#saidAliveAt < ALIVE_MS) return;
        this.#saidAliveAt = now;
        this.#say({ type: "alive" });
      },
      event: (message) => {
        if (signal.aborted) return;
        const own = this.#own;
        const entry = this.#received.enter(message, stream);
        this.#isAt(message.id);
        this.#hasEnded = message.event === END_EVENT;
        if (this.#isLeading) this.#tell(entry);
        // After the end, the client may close.
        if (this.#hasEnded) this.#flush();
        if (own && own.openSince === undefined) {
          own.openSince = performance.now();
          if (this.#isLeading) this.#announce();
        }
        sink.event(message);
      },
      id: (id) => {
        if (signal.aborted) return;
        this.#isAt(id);
        if (this.#isLeading) {
          this.#flush();
          this.#say({ type: "id", after: this.#received.cursor, id });
        }
        sink.id(id);
      },
    };
  }

  /** Events that came in one piece go in one note. */
  #tell(entry: Entry): void {
    this.#unsent.push(entry);
    if (this.#unsent.length > 1) return;
    queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    const entries = this.#unsent;
    this.#unsent = [];
    if (entries.length > 0) this.#say({ type: "entries", entries });
  }

  #announce(): void {
    this.#flush();
    const { cursor, stream, run, lowWatermark } = this.#received;
    this.#say({ type: "lead", isOpen: this.#own?.openSince !== undefined, cursor, stream, run, lowWatermark });
  }

  #say(note: Note): void {
    if (!this.session.aborted) this.#channel.postMessage(note);
  }

  #hear(note: Note): void {
    if (this.session.aborted) return;
    const following = this.#following;
    switch (note.type) {
      case "who":
        if (this.#isLeading) this.#announce();
        return;
      case "after":
        if (this.#isLeading) {
          this.#flush();
          const { cursor, stream, run } = this.#received;
          this.#say({ type: "answer", to: note.from, cursor, stream, run, entries: this.#received.after(note.id) });
        }
        return;
      case "lead":
        this.#hearLeader(note);
        return;
      case "alive":
        following?.sink.alive();
        return;
      case "entries":
        following?.sink.alive();
        for (const entry of note.entries) this.#take(entry);
        return;
      case "id":
        this.#takeId(note.after, note.id);
        return;
      case "answer":
        if (note.to !== this.#id || !following) return;
        following.askedAt = -Infinity;
        if (!note.entries) return following.end();
        for (const entry of note.entries) this.#take(entry);
        if (!following.signal.aborted) this.#received.followFrom(note);
    }
  }

  #hearLeader(leader: Leader): void {
    // Two lead for a moment, when one was robbed; the lock decides.
    if (this.#isLeading) return;
    this.#leader = leader;
    this.#askedAt = undefined;
    const following = this.#following;
    if (!following) return this.#changed();
    following.sink.alive();
    clearTimeout(following.lost);
    if (!leader.isOpen) {
      following.lost = setTimeout(following.end, OPEN_MS);
      return following.sink.lost();
    }
    if (leader.lowWatermark !== undefined && !this.#isCovered(leader)) return following.end();
    following.sink.open();
    this.#received.followFrom(leader);
    // It may be another one than was asked.
    following.askedAt = -Infinity;
    const { cursor } = this.#received;
    if (leader.cursor !== cursor && !isUpTo(leader.cursor, cursor)) this.#askForMore();
  }

  /** Takes an entry of the leader's stream, if it follows that. */
  #take(entry: Entry): void {
    const following = this.#following;
    if (!following || following.signal.aborted) return;
    const verdict = this.#received.receive(entry);
    if (verdict === "gap") return this.#askForMore();
    if (verdict === "known") return;
    const { event, data, id } = entry;
    this.#isAt(id);
    const message: Message = id === undefined ? { event, data } : { event, data, id };
    following.sink.event(message);
  }

  /** Takes an id of the leader's stream, if nothing between here and there is missing. */
  #takeId(after: string, id: string): void {
    const following = this.#following;
    const { cursor } = this.#received;
    const isHere = after === cursor || isUpTo(after, cursor);
    if (!following || following.signal.aborted || !isHere || isUpTo(id, cursor)) return;
    this.#isAt(id);
    following.sink.id(id);
  }

  #isAt(id: string | undefined): void {
    if (id !== undefined) this.#idle = { after: this.#received.cursor, id };
  }

  #askForMore(): void {
    const following = this.#following;
    const now = performance.now();
    if (!following || now - following.askedAt < ANSWER_MS) return;
    following.askedAt = now;
    this.#say({ type: "after", from: this.#id, id: this.#received.cursor });
  }

  /** Something has changed that others wait for. */
  #changed(): void {
    if (this.#isLeading) this.#following?.end();
    for (const call of [...this.#waiting]) call();
  }

  /** Until a condition holds, or this tab leads, for some time at most. */
  #until(condition: () => boolean, ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(look);
        signal.removeEventListener("abort", end);
        resolve();
      };
      const look = (): void => {
        if (this.#isLeading || condition()) end();
      };
      const timer = setTimeout(end, ms);
      this.#waiting.add(look);
      signal.addEventListener("abort", end);
      look();
    });
  }
}

const randomId = (): string => Math.random().toString(36).slice(2);
