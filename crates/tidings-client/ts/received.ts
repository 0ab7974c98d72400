import { END_EVENT, STATUS_EVENT } from "./event.ts";
import type { Message } from "./parser.ts";
import { hasPosition, isUpTo } from "./position.ts";

/** An event with its place: it is the `run`th without an id after the event whose id is `previous`, or 0, with an id. */
export interface Entry extends Message {
  readonly previous: string;
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
export class Received {
  /** The id of the last event with one. */
  cursor: string;
  /** How many events without an id have come since. */
  #run = 0;
  readonly #entries: Entry[] = [];
  #characters = 0;
  /** The id after which no event is missing in the entries. */
  #lowWatermark: string | undefined;
  /** What follows a status may have gaps, until then. */
  #settledAt = 0;

  constructor(cursor: string) {
    this.cursor = cursor;
  }

  /** The id after which no event is missing here, if there is one yet. */
  get lowWatermark(): string | undefined {
    // In a snapshot there are no positions.
    if (this.#lowWatermark === undefined && hasPosition(this.cursor) && Date.now() >= this.#settledAt) this.#lowWatermark = this.cursor;
    return this.#lowWatermark;
  }

  /** How many events without an id have come since `cursor`. */
  get run(): number {
    return this.#run;
  }

  /** Enters the next event. */
  enter({ event, data, id }: Message): Entry {
    const isFromHub = event === STATUS_EVENT || event === END_EVENT;
    if (event === STATUS_EVENT && !isResumed(data)) this.#clear(data, id);
    if (event !== END_EVENT) this.#run = id === undefined ? this.#run + 1 : 0;
    const entry = { event, data, previous: this.cursor, run: this.#run, ...(id !== undefined && { id }) };
    const hadLowWatermark = this.lowWatermark !== undefined;
    if (id !== undefined) this.cursor = id;
    if (hadLowWatermark && !isFromHub) this.#keep(entry);
    return entry;
  }

  /** Whether an entry of another tab's stream is the next here. */
  judge({ event, data, id, previous, run }: Entry): Verdict {
    // What was known before a reset is void, wherever that was.
    if (event === STATUS_EVENT && !isResumed(data)) return isReset(data) ? "next" : "known";
    if (event === STATUS_EVENT) return previous === this.cursor ? "next" : "known";
    const isPast = isUpTo(previous, this.cursor);
    if (event === END_EVENT) return previous === this.cursor || isPast ? "next" : "gap";
    if (id !== undefined) {
      if (id === this.cursor || isUpTo(id, this.cursor)) return "known";
      return previous === this.cursor || isPast ? "next" : "gap";
    }
    if (previous !== this.cursor) return isPast ? "known" : "gap";
    if (run <= this.#run) return "known";
    return run === this.#run + 1 ? "next" : "gap";
  }

  /** Other streams do not count events without an id from the same place: none is taken before `countFrom`. */
  leaveStream(): void {
    this.#run = Infinity;
  }

  /** Another stream has come so far. */
  countFrom(cursor: string, run: number): void {
    if (cursor === this.cursor) this.#run = Math.min(this.#run, run);
  }

  /** Everything after an id; `undefined` if that is not known. */
  after(id: string): Entry[] | undefined {
    if (this.lowWatermark === undefined || !isUpTo(this.lowWatermark, id)) return undefined;
    return this.#entries.filter((entry) => !isUpTo(entry.id ?? entry.previous, id) || entry.previous === id);
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
    this.#lowWatermark = undefined;
    // What is retained after a reset may lack events between others.
    const isWhole = !isReset(data) && !/"complete":false/.test(data);
    this.#settledAt = isWhole || !hasPosition(id ?? "") ? 0 : Date.now() + SETTLE_MS;
    this.cursor = id ?? this.cursor;
  }
}

const isResumed = (data: string): boolean => /"status":"resumed"/.test(data);
const isReset = (data: string): boolean => /"status":"reset"/.test(data);
