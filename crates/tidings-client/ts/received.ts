import { END_EVENT, STATUS_EVENT } from "./event.ts";
import type { Message } from "./parser.ts";
import { hasPosition, isUpTo } from "./position.ts";

/**
 * An event with its place: the next after the one whose id is `previous`. If it has no id, it is the `run`th of them since then
 * in its `stream`; streams that began at other times count others.
 */
export interface Entry extends Message {
  readonly previous: string;
  readonly stream: string;
  readonly run: number;
}

/** Where a stream is. */
export interface Place {
  readonly cursor: string;
  readonly stream: string;
  readonly run: number;
}

/** What a tab makes of an entry of another tab. */
export type Verdict = "next" | "known" | "gap";

/** How much is kept for tabs that have seen less. */
const MAX_ENTRIES = 1_000;
const MAX_CHARACTERS = 1 << 20;
/** How long a beginning with gaps takes at most. */
const SETTLE_MS = 2_000;

/**
 * What one tab has received: where it is, and its newest events.
 *
 * Each stream of these topics, whatever connection it comes from, has all of their events in one order, and an event's place
 * (`previous`) says that nothing is between the two. So a tab that is where an entry begins, or further, may take it from
 * whomever it comes.
 */
export class Received implements Place {
  /** The id of the last event with one. */
  cursor: string;
  /** The stream that it follows, and how many events without an id that has brought since its last id, `#base`. */
  stream = "";
  run = 0;
  /** Before `cursor` if this tab has begun later than that stream's last event. */
  #base: string;
  /** The last event with an id since this tab began. What a stream brings of before that is past. */
  #lastEvent: string | undefined;
  /** Events without an id since `cursor`, and those of them that came by other streams. */
  #seen: string[] = [];
  #seenElsewhere: string[] = [];
  readonly #entries: Entry[] = [];
  #characters = 0;
  /** The id after which no event is missing in the entries. */
  #lowWatermark: string | undefined;
  /** What follows a status may have gaps, until then. */
  #settledAt = 0;

  constructor(cursor: string) {
    this.cursor = this.#base = cursor;
  }

  /** The id after which no event is missing here, if there is one yet. */
  get lowWatermark(): string | undefined {
    // In a snapshot there are no positions.
    const isSettled = hasPosition(this.cursor) && performance.now() >= this.#settledAt;
    if (this.#lowWatermark === undefined && isSettled) this.#lowWatermark = this.cursor;
    return this.#lowWatermark;
  }

  /** Enters the next event of a tab's own stream. */
  enter({ event, data, id }: Message, stream: string): Entry {
    this.#follow(stream);
    const run = id === undefined ? this.run + 1 : 0;
    const entry = { event, data, previous: this.cursor, stream, run, ...(id !== undefined && { id }) };
    this.#add(entry);
    return entry;
  }

  /** Enters an entry of another tab's stream, if it is the next here. */
  receive(entry: Entry): Verdict {
    const verdict = this.#judge(entry);
    const { event, id, stream } = entry;
    if (verdict === "next") this.#add(entry);
    // Its stream has come so far.
    else if (verdict === "known" && id !== undefined && event !== STATUS_EVENT) this.followFrom({ cursor: id, stream, run: 0 });
    return verdict;
  }

  /** Another tab's stream has come so far: from there on, its events without an id are taken. */
  followFrom({ cursor, stream, run }: Place): void {
    const isFollowed = stream === this.stream && cursor === this.#base;
    // Here, it may lack some that it can still ask for; of before it began, it gets no others.
    if (cursor === this.cursor ? isFollowed : !this.#hasBegunAfter(cursor)) return;
    if (stream !== this.stream) this.#seenElsewhere = [...this.#seen];
    this.run = isFollowed ? Math.max(run, this.run) : run;
    this.stream = stream;
    this.#base = cursor;
  }

  /** Everything after an id; `undefined` if that is not known. */
  after(id: string): Entry[] | undefined {
    if (this.lowWatermark === undefined || !isUpTo(this.lowWatermark, id)) return undefined;
    return this.#entries.filter((entry) => !isUpTo(entry.id ?? entry.previous, id) || entry.previous === id);
  }

  #judge({ event, data, id, previous, stream, run }: Entry): Verdict {
    // What was known before a reset is void, wherever that was.
    if (isBeginning(event, data)) return isReset(data) ? "next" : "known";
    if (event === STATUS_EVENT) return previous === this.cursor ? "next" : "known";
    const isPast = isUpTo(previous, this.cursor);
    const isHere = previous === this.cursor;
    if (event === END_EVENT) return isHere || isPast ? "next" : "gap";
    if (id !== undefined) {
      if (id === this.cursor || isUpTo(id, this.cursor)) return "known";
      return isHere || isPast ? "next" : "gap";
    }
    const isCounted = stream === this.stream && previous === this.#base;
    if (!isHere && !isCounted) return isPast ? "known" : "gap";
    // At most once: that of a stream which it does not count may be one that it has.
    if (!isCounted || run <= this.run) return "known";
    if (run > this.run + 1) return "gap";
    const elsewhere = this.#seenElsewhere.indexOf(content(event, data));
    if (elsewhere < 0) return "next";
    this.#seenElsewhere.splice(elsewhere, 1);
    this.run = run;
    return "known";
  }

  #follow(stream: string): void {
    if (stream !== this.stream) this.followFrom({ cursor: this.cursor, stream, run: 0 });
  }

  /** Whether it is further than that only because it has begun there: no event was between. */
  #hasBegunAfter(id: string): boolean {
    return isUpTo(id, this.cursor) && (this.#lastEvent === undefined || isUpTo(this.#lastEvent, id));
  }

  #add(entry: Entry): void {
    const { event, data, id, stream } = entry;
    if (isBeginning(event, data)) this.#clear(data, id);
    const hadLowWatermark = this.lowWatermark !== undefined;
    // A stream may have resumed from an id without an event (`Tab`): its next event comes after the last one all the same.
    if (id !== undefined && id !== this.cursor && event !== STATUS_EVENT) {
      // The end of a snapshot is where this tab begins.
      if (hasPosition(this.cursor)) this.#lastEvent = id;
      this.#moveTo(id);
    }
    this.#follow(stream);
    if (event === END_EVENT) return;
    this.run = entry.run;
    if (id === undefined && this.#seen.push(content(event, data)) > MAX_ENTRIES) this.#seen.shift();
    if (hadLowWatermark && event !== STATUS_EVENT) this.#keep(entry);
  }

  #keep(entry: Entry): void {
    this.#entries.push(entry);
    this.#characters += entry.data.length;
    while (this.#entries.length > MAX_ENTRIES || this.#characters > MAX_CHARACTERS) {
      const oldest = this.#entries.shift() as Entry;
      this.#characters -= oldest.data.length;
      if (oldest.id !== undefined) this.#lowWatermark = oldest.id;
    }
  }

  /** Begins anew: with all that is retained, or with a snapshot. */
  #clear(data: string, id: string | undefined): void {
    this.#entries.length = 0;
    this.#characters = 0;
    this.#lowWatermark = this.#lastEvent = undefined;
    // What is retained after a reset may lack events between others.
    const isWhole = !isReset(data) && !/"complete":false/.test(data);
    this.#settledAt = isWhole || !hasPosition(id ?? "") ? 0 : performance.now() + SETTLE_MS;
    this.#moveTo(id ?? this.cursor);
  }

  #moveTo(id: string): void {
    this.cursor = this.#base = id;
    this.#seen = [];
    this.#seenElsewhere = [];
  }
}

const isBeginning = (event: string, data: string): boolean => event === STATUS_EVENT && !/"status":"resumed"/.test(data);
const isReset = (data: string): boolean => /"status":"reset"/.test(data);
const content = (event: string, data: string): string => `${event}\n${data}`;
