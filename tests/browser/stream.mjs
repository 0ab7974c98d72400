// An EventSource in a page, and everything that it reports.

import { defer } from "./cleanup.mjs";

/** The name of the first event of each connection. */
export const STATUS = "tidings:status";

export class Stream {
  #page;
  #log;
  #givenUp;

  /**
   * Opens `path` of `origin` with an EventSource in a page of the same origin, which is closed at the end of the test.
   * Records events with these names, `message` events and status events.
   */
  static async open(t, context, origin, path, names = []) {
    const stream = new Stream();
    const page = await context.newPage();
    defer(t, () => page.close());
    await page.goto(`${origin}/healthz`);
    stream.#page = page;
    stream.#log = await page.evaluateHandle(({ path, names }) => {
      const source = new EventSource(path);
      const log = { source, events: [], opened: 0, lost: 0 };
      log.givenUp = new Promise((resolve) => {
        source.onopen = (event) => { if (!("data" in event)) log.opened += 1; };
        source.onerror = (event) => {
          if (!("data" in event)) log.lost += 1;
          if (source.readyState === EventSource.CLOSED) resolve();
        };
      });
      for (const name of names) {
        source.addEventListener(name, (event) => {
          // The browser's own `open` and `error` events have no data, unlike a server's.
          if (!("data" in event)) return;
          const { type, data, lastEventId } = event;
          log.events.push({ type, data, lastEventId, readyState: source.readyState });
        });
      }
      return log;
    }, { path, names: ["message", STATUS, ...names] });
    stream.#givenUp = stream.#log.evaluate((log) => log.givenUp).then(() => {
      throw new Error("the browser has given up on the stream");
    });
    stream.#givenUp.catch(() => {});   // also when the page is closed; `while` throws it
    await stream.connections(1);
    return stream;
  }

  /** Resolves to the data of the status events when `count` connections have begun. */
  async connections(count) {
    await this.#until(({ log, count, status }) => log.events.filter(({ type }) => type === status).length >= count, { count, status: STATUS });
    return this.statuses();
  }

  /** Resolves to all of the application's events when there are at least `count`. */
  async published(count) {
    await this.#until(({ log, count, status }) => log.events.filter(({ type }) => type !== status).length >= count, { count, status: STATUS });
    return (await this.events()).filter(({ type }) => type !== STATUS);
  }

  /** Resolves to all numbers of a `Publisher` when `n` or a higher one has come. */
  async number(n) {
    await this.#until(({ log, n }) => log.events.some(({ type, data }) => type === "tick" && JSON.parse(data).n >= n), { n });
    return this.numbers();
  }

  /** Resolves when the browser has noticed the end of a connection `count` times. */
  async losses(count) {
    await this.#until(({ log, count }) => log.lost >= count, { count });
  }

  /** Resolves with `promise`, unless the browser gives up on the stream first. */
  async while(promise) {
    return Promise.race([promise, this.#givenUp]);
  }

  /** The only time limit is that of the test. */
  async #until(condition, values) {
    await this.while(this.#page.waitForFunction(condition, { log: this.#log, ...values }, { timeout: 0, polling: 10 }));
  }

  async events() {
    return this.#log.evaluate((log) => log.events);
  }

  /** The received numbers of a `Publisher`, in order. */
  async numbers() {
    return (await this.events()).filter(({ type }) => type === "tick").map(({ data }) => JSON.parse(data).n);
  }

  /** The data of the status events, each with its id. */
  async statuses() {
    return (await this.events())
      .filter(({ type }) => type === STATUS)
      .map(({ data, lastEventId }) => ({ ...JSON.parse(data), id: lastEventId }));
  }

  /** The number of `open` and `error` events of the browser, and whether it has given up. */
  async connection() {
    return this.#log.evaluate(({ source, opened, lost }) => ({ opened, lost, readyState: source.readyState }));
  }
}

/** The position in an event id, `<epoch>-<position>`. */
export function position(id) {
  const found = /^[0-9a-z]+-(\d+)$/.exec(id);
  if (!found) throw new Error(`not an id: ${JSON.stringify(id)}`);
  return Number(found[1]);
}
