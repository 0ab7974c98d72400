import type { Message } from "../parser.ts";
import { isUpTo } from "../position.ts";
import type { Outcome, Sink, StreamRequest } from "../transport.ts";
import { Random } from "./random.ts";

/** What a fake hub sends a fresh client, and one that is reset. */
export type Past = "none" | "history" | "snapshot";

/** A hub of one topic in memory, over a network with delays. Its events are numbered by their data. */
export class FakeHub {
  readonly #random: Random;
  readonly #past: Past;
  /** How many events are retained. */
  readonly #retained: number;
  #epoch = 1;
  #position = 100;
  #events: Message[] = [];
  readonly #streams = new Set<Stream>();
  last = 0;
  connections = 0;
  most = 0;
  resets = 0;
  isDown = false;

  constructor(random: Random, past: Past = "none", retained = 1_000_000) {
    this.#random = random;
    this.#past = past;
    this.#retained = retained;
  }

  get open(): number {
    return this.#streams.size;
  }

  publish(): void {
    this.last += 1;
    // Other topics have events, too.
    this.#position += 1 + this.#random.below(3);
    this.#send({ event: "tick", data: String(this.last), id: this.#id(this.#position) }, true);
  }

  publishEphemeral(data: string): void {
    this.#send({ event: "typing", data }, false);
  }

  /** Begins another history. */
  restart(): void {
    this.#epoch += 1;
    this.#position = 0;
    this.#events = [];
    this.cut();
  }

  /** Cuts some streams, or all. */
  cut(part = 1): void {
    for (const stream of [...this.#streams]) if (this.#random.chance(part)) stream.cut();
  }

  #id(position: number): string {
    return `e${this.#epoch}-${position}`;
  }

  #send(message: Message, isRetained: boolean): void {
    if (isRetained) this.#events.push(message);
    if (this.#events.length > this.#retained) this.#events.shift();
    for (const stream of this.#streams) stream.send(message);
  }

  /** A transport to it. */
  readonly transport = async (request: StreamRequest, sink: Sink): Promise<Outcome> => {
    sink.alive();
    await delay(this.#random.below(60));
    request.signal.throwIfAborted();
    if (this.isDown) throw new TypeError("fetch failed");
    this.connections += 1;
    const stream = new Stream(this.#random, sink, request.signal);
    this.#streams.add(stream);
    this.most = Math.max(this.most, this.#streams.size);
    this.#begin(stream, request.lastEventId);
    try {
      return await stream.ended;
    } finally {
      this.#streams.delete(stream);
    }
  };

  #begin(stream: Stream, lastEventId: string): void {
    const client = "c";
    const head = this.#id(this.#position);
    const first = this.#events[0]?.id;
    const lost = this.last - this.#events.length;
    const isKnown = isUpTo(lastEventId, head) && (lost === 0 || (first !== undefined && isUpTo(first, lastEventId)));
    if (isKnown) {
      stream.status({ status: "resumed", client }, lastEventId);
      for (const message of this.#events) if (!isUpTo(message.id as string, lastEventId)) stream.send(message);
      return;
    }
    const status = lastEventId === "" ? { status: "fresh", client } : { status: "reset", reason: "unknown", client };
    if (lastEventId !== "") this.resets += 1;
    if (this.#past === "snapshot") {
      stream.status(status, `e${this.#epoch}`);
      for (let n = 1; n < 3; n++) stream.send({ event: "part", data: String(n) });
      stream.send({ event: "all", data: String(this.last), id: head });
    } else if (this.#past === "none" && lastEventId === "") {
      stream.status(status, head);
    } else {
      const before = first === undefined ? head : this.#id(Number(first.split("-")[1]) - 1);
      stream.status(status, before);
      for (const message of this.#events) stream.send(message);
    }
  }
}

class Stream {
  readonly #random: Random;
  readonly #sink: Sink;
  readonly #queue: Message[] = [];
  #isOver = false;
  #end: (outcome: Outcome) => void = () => {};
  #fail: (error: unknown) => void = () => {};
  readonly ended: Promise<Outcome>;

  constructor(random: Random, sink: Sink, signal: AbortSignal) {
    this.#random = random;
    this.#sink = sink;
    this.ended = new Promise((resolve, reject) => {
      this.#end = resolve;
      this.#fail = reject;
    });
    this.ended.catch(() => {});
    signal.addEventListener("abort", () => this.#close(() => this.#fail(signal.reason)));
    sink.open();
    sink.retry(200);
    void this.#run();
  }

  status(status: object, id: string): void {
    this.send({ event: "tidings:status", data: JSON.stringify(status), id });
  }

  send(message: Message): void {
    this.#queue.push(message);
  }

  /** The connection breaks; what was on its way is lost. */
  cut(): void {
    this.#close(() => (this.#random.chance(0.5) ? this.#end({ status: 200 }) : this.#fail(new TypeError("network error"))));
  }

  #close(tell: () => void): void {
    if (this.#isOver) return;
    this.#isOver = true;
    tell();
  }

  async #run(): Promise<void> {
    while (!this.#isOver) {
      await delay(1 + this.#random.below(20));
      // As many as one piece of bytes may have.
      for (let n = this.#random.below(6); n >= 0 && !this.#isOver; n--) {
        const message = this.#queue.shift();
        if (!message) break;
        this.#sink.alive();
        this.#sink.event(message);
      }
    }
  }
}

export const delay = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
