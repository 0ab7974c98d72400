/** What an {@link EventStreamParser} finds. */
export interface ParserSink {
  /** An event. `id` is there if its block has one. */
  event(message: Message): void;
  /** The id of a block without data, which is no event. */
  id(id: string): void;
  /** Milliseconds after which to reconnect. */
  retry(ms: number): void;
}

/** An event as it is on the wire. */
export interface Message {
  readonly event: string;
  readonly data: string;
  readonly id?: string;
}

const LINE_END = /\r\n|\r|\n/g;

/**
 * Reads an event stream, in pieces that may end anywhere.
 *
 * After the WHATWG HTML standard, section "Interpreting an event stream". It takes text: a `TextDecoder` decodes the bytes, and
 * removes the byte order mark.
 */
export class EventStreamParser {
  readonly #sink: ParserSink;
  /** The beginning of a line. */
  #rest = "";
  /** Whether the last character was a CR: a LF that follows belongs to it. */
  #afterCr = false;
  // The block so far.
  #event = "";
  #data: string | undefined;
  #id: string | undefined;

  constructor(sink: ParserSink) {
    this.#sink = sink;
  }

  feed(text: string): void {
    if (text === "") return;
    if (this.#afterCr && text.startsWith("\n")) text = text.slice(1);
    this.#afterCr = text.endsWith("\r");
    // There is no end of a line in the rest.
    let searched = this.#rest.length;
    text = this.#rest + text;
    let begin = 0;
    for (;;) {
      LINE_END.lastIndex = searched;
      const end = LINE_END.exec(text);
      if (!end) break;
      searched = LINE_END.lastIndex;
      this.#line(text.slice(begin, end.index));
      begin = searched;
    }
    this.#rest = text.slice(begin);
  }

  #line(line: string): void {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "data") this.#data = this.#data === undefined ? value : `${this.#data}\n${value}`;
    else if (field === "event") this.#event = value;
    else if (field === "id") {
      if (!value.includes("\0")) this.#id = value;
    } else if (field === "retry" && /^\d+$/.test(value)) this.#sink.retry(Number(value));
  }

  #dispatch(): void {
    const event = this.#event || "message";
    const data = this.#data;
    const id = this.#id;
    this.#event = "";
    this.#data = this.#id = undefined;
    if (data !== undefined) this.#sink.event(id === undefined ? { event, data } : { event, data, id });
    else if (id !== undefined) this.#sink.id(id);
  }
}
