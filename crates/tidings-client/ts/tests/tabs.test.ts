// Many tabs in a fake browser at a fake hub: what each of them gets, whatever happens to the others.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { TidingsClient } from "../client.ts";
import type { Message } from "../parser.ts";
import { tabsIn } from "../tabs.ts";
import type { Outcome, Sink, StreamRequest, Transport } from "../transport.ts";
import { FakeBrowser } from "./fake_browser.ts";
import type { FakeTab } from "./fake_browser.ts";
import { FakeHub, delay } from "./fake_hub.ts";
import type { Past } from "./fake_hub.ts";
import { Random } from "./random.ts";

const numbers = (last: number, first = 1): number[] => Array.from({ length: last - first + 1 }, (_, i) => first + i);

/** A tab with its client, and the numbers that it has received. */
class Page {
  readonly tab: FakeTab;
  readonly client: TidingsClient;
  readonly typed: string[] = [];
  /** Of the events since the status with which it began, or was reset. */
  numbers: number[] = [];
  /** The number after which they begin, once that is known. */
  from: number | undefined;
  resets = 0;
  isGone = false;
  /** It does not come to connect. */
  isSlow = false;
  readonly #streams = new Set<AbortController>();

  constructor(browser: FakeBrowser, hub: FakeHub, lastEventId = "") {
    this.tab = browser.tab();
    const over = async (request: StreamRequest, sink: Sink): Promise<Outcome> => {
      while (this.isSlow) await delay(100);
      request.signal.throwIfAborted();
      const stop = new AbortController();
      this.#streams.add(stop);
      request.signal.addEventListener("abort", () => stop.abort(request.signal.reason));
      return hub.transport({ ...request, signal: stop.signal }, sink);
    };
    this.client = new TidingsClient("http://hub.test/events", { transport: tabsIn(this.tab.environment, { over }), lastEventId });
    this.client.onReset(() => {
      this.resets += 1;
      this.numbers = [];
      this.from = undefined;
    });
    this.client.on("tick", (n: number) => { if (!this.isGone) this.numbers.push(n); });
    this.client.on("typing", (data: string) => { if (!this.isGone) this.typed.push(data); });
    this.client.on("all", (n: number) => { if (!this.isGone) this.from = n; });
  }

  /** Its process ends. */
  kill(): void {
    this.isGone = true;
    this.tab.kill();
    this.#cut();
    this.client.close();
  }

  /** It runs nothing, hears nothing, and keeps its locks. */
  freeze(): void {
    this.tab.isFrozen = this.isSlow = true;
    this.#cut();
  }

  thaw(): void {
    this.tab.isFrozen = this.isSlow = false;
  }

  #cut(): void {
    for (const stream of this.#streams) stream.abort(new Error("cut"));
  }

  assertContinuous(last: number): void {
    const first = (this.from ?? (this.numbers[0] ?? last + 1) - 1) + 1;
    expect(this.numbers).toEqual(numbers(last, first));
  }
}

beforeEach(() => { vi.useFakeTimers(); });
afterEach(() => { vi.useRealTimers(); });

const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

interface World {
  browser: FakeBrowser;
  hub: FakeHub;
  open(): Page;
  /** Opens tabs at the same time. One of them leads when they have settled. */
  openAll(count: number, settled?: number): Promise<Page[]>;
  /** Opens a tab that leads, and then others. */
  openBehindLeader(others: number): Promise<Page[]>;
}

function world(seed: number, past: Past = "none", retained?: number): World {
  const random = new Random(seed);
  vi.spyOn(Math, "random").mockImplementation(random.next);
  const [browser, hub] = [new FakeBrowser(random), new FakeHub(random, past, retained)];
  const open = (): Page => new Page(browser, hub);
  const openAll = async (count: number, settled = 5_000): Promise<Page[]> => {
    const pages = Array.from({ length: count }, open);
    await pass(settled);
    return pages;
  };
  const openBehindLeader = async (others: number): Promise<Page[]> =>
    [...await openAll(1, 2_000), ...await openAll(others, 3_000)];
  return { browser, hub, open, openAll, openBehindLeader };
}

test("clients that are given the same transport are tabs of their own", async () => {
  const { browser, hub } = world(30);
  const transport = tabsIn(browser.tab().environment, { over: hub.transport });
  const connect = (topic: string): TidingsClient => new TidingsClient(`http://hub.test/events?topic=${topic}`, { transport });
  const one = connect("a");
  await pass(2_000);
  hub.publish();
  await pass(2_000);
  const other = connect("b");
  const ticks: number[] = [];
  other.on("tick", (n: number) => ticks.push(n));
  await pass(2_000);
  expect([one.status?.status, other.status?.status]).toEqual(["fresh", "fresh"]);
  one.close();
  await pass(2_000);
  hub.publish();
  await pass(1_000);
  expect(ticks).toEqual([2]);
  other.close();
});

/** A stream that a test writes, in pieces as large as it wants; a status begins it. */
interface Script {
  readonly lastEventId: string;
  readonly sink: Sink;
  end(): void;
}

function scripted(): { streams: Script[]; over: Transport } {
  const streams: Script[] = [];
  const over: Transport = ({ lastEventId, signal }, sink) => new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
    streams.push({ lastEventId, sink, end: () => resolve({ status: 200 }) });
    sink.open();
    sink.retry(100);
    const data = JSON.stringify({ status: lastEventId === "" ? "fresh" : "resumed", client: "c" });
    sink.event({ event: "tidings:status", data, id: lastEventId || "e-10" });
  });
  return { streams, over };
}

const tick = (n: number): Message => ({ event: "tick", data: String(n), id: `e-${n}` });

describe("tabs of streams that a test writes", () => {
  /** A leader and one that follows it, by the first and the second of these streams. */
  async function two(seed: number) {
    const { browser } = world(seed);
    const { streams, over } = scripted();
    const ticks: number[][] = [];
    const clients: TidingsClient[] = [];
    for (let n = 0; n < 2; n++) {
      const transport = tabsIn(browser.tab().environment, { over });
      const client = new TidingsClient("http://hub.test/events", { transport });
      const mine: number[] = [];
      client.on("tick", (n: number) => mine.push(n));
      clients.push(client);
      ticks.push(mine);
      await pass(2_000);
    }
    expect(streams).toHaveLength(2);
    return { streams, ticks, clients, send: (...ns: number[]) => { for (const n of ns) streams[0]?.sink.event(tick(n)); } };
  }

  test.each([0, 1])("what is left of a piece when a listener of tab %i has ended its stream comes again", async (who) => {
    const { streams, ticks, clients, send } = await two(31);
    const client = clients[who] as TidingsClient;
    client.on("tick", (n: number) => { if (n === 11) client.reconnect(); });
    send(11, 12, 13, 14, 15);
    await pass(2_000);
    if (who === 0) {
      expect(streams[2]?.lastEventId).toBe("e-11");
      for (const n of [12, 13, 14, 15]) streams[2]?.sink.event(tick(n));
      await pass(500);
    }
    for (const mine of ticks) expect(mine).toEqual([11, 12, 13, 14, 15]);
    for (const client of clients) client.close();
  });

  test("the id of a block without an event is where all go on", async () => {
    const { streams, ticks, clients, send } = await two(32);
    send(20);
    streams[0]?.sink.id("e-90");
    await pass(500);
    expect(clients.map(({ lastEventId }) => lastEventId)).toEqual(["e-90", "e-90"]);
    streams[0]?.end();
    await pass(2_000);
    expect(streams[2]?.lastEventId).toBe("e-90");
    streams[2]?.sink.event(tick(95));
    await pass(500);
    for (const mine of ticks) expect(mine).toEqual([20, 95]);
    // Also of one that has only followed.
    streams[2]?.sink.id("e-120");
    await pass(500);
    clients[0]?.close();
    await pass(2_000);
    expect(streams[3]?.lastEventId).toBe("e-120");
    clients[1]?.close();
  });

  test.each(["superseded", "finished"])("that are %s end together, and none takes the place back", async (reason) => {
    const { streams, clients, ticks } = await two(35);
    const ended: string[] = [];
    for (const client of clients) client.onEnded((reason) => ended.push(reason));
    streams[0]?.sink.event(tick(11));
    streams[0]?.sink.event({ event: "tidings:end", data: JSON.stringify({ reason }) });
    await pass(20_000);
    expect(ended).toEqual([reason, reason]);
    expect(clients.map(({ state }) => state)).toEqual(["closed", "closed"]);
    expect(ticks).toEqual([[11], [11]]);
    expect(streams).toHaveLength(2);
  });
});

test("a tab whose stream is ended while it waits to begin opens none", async () => {
  const { browser, openAll } = world(33);
  const [leader] = await openAll(1, 2_000) as [Page];
  const request = browser.request.bind(browser);
  // Others begin, and take their time.
  vi.spyOn(browser, "request").mockImplementation((tab, name, options, callback) => {
    if (!/:\d$/.test(name)) return request(tab, name, options, callback);
    return new Promise((_, reject) => options.signal?.addEventListener("abort", () => reject(options.signal?.reason)));
  });
  const { streams, over } = scripted();
  const transport = tabsIn(browser.tab().environment, { over });
  const client = new TidingsClient("http://hub.test/events", { transport });
  await pass(2_000);
  client.reconnect();
  await pass(2_000);
  client.close();
  await pass(2_000);
  expect(streams).toEqual([]);
  leader.client.close();
});

test("a tab that has never had a stream of its own notices that the leader is silent", async () => {
  const { browser, hub, openAll } = world(34);
  const [leader] = await openAll(1, 2_000) as [Page];
  const page = new Page(browser, hub, leader.client.lastEventId);
  await pass(500);
  expect([page.client.state, hub.connections]).toEqual(["open", 1]);
  leader.freeze();
  await pass(120_000);
  hub.publish();
  await pass(5_000);
  expect(page.numbers).toEqual([1]);
  for (const { client } of [leader, page]) client.close();
});

describe("eight tabs", () => {
  test("have one stream between them", async () => {
    const { hub, openAll } = world(1);
    const pages = await openAll(8, 10_000);
    expect(hub.open).toBe(1);
    // The leader's, and two that begin.
    expect(hub.most).toBeLessThanOrEqual(3);
    for (let n = 0; n < 100; n++) {
      hub.publish();
      await pass(10);
    }
    await pass(1_000);
    for (const page of pages) {
      page.assertContinuous(100);
      expect(page.numbers).toHaveLength(100);
      expect(page.client.state).toBe("open");
    }
    expect(hub.connections).toBe(8);
  });

  test("get ephemeral events, each once", async () => {
    const { hub, openAll } = world(2);
    const pages = await openAll(8, 10_000);
    for (const data of ["1", "2", "3"]) {
      hub.publishEphemeral(data);
      await pass(200);
    }
    hub.publish();
    hub.publishEphemeral("4");
    await pass(1_000);
    for (const page of pages) expect(page.typed).toEqual([1, 2, 3, 4]);
  });

  test("each begin with the history, and the leader has the rest", async () => {
    const { hub, open } = world(3, "history");
    for (let n = 0; n < 50; n++) hub.publish();
    const pages: Page[] = [];
    for (let n = 0; n < 8; n++) {
      pages.push(open());
      await pass(2_000);
    }
    expect(hub.open).toBe(1);
    for (const page of pages) expect(page.numbers).toEqual(numbers(50));
  });

  test("each begin with a snapshot, and the leader has the rest", async () => {
    const { hub, open } = world(4, "snapshot");
    for (let n = 0; n < 50; n++) hub.publish();
    const pages: Page[] = [];
    for (let n = 0; n < 8; n++) {
      pages.push(open());
      await pass(2_000);
      hub.publish();
    }
    await pass(2_000);
    expect(hub.open).toBe(1);
    for (const [n, page] of pages.entries()) {
      expect(page.from).toBe(50 + n);
      page.assertContinuous(58);
    }
  });
});

describe("when the leader goes", () => {
  test("the next one resumes, without a gap and without a status of its own for what it has", async () => {
    const { hub, openAll } = world(5);
    const pages = await openAll(3);
    hub.publish();
    await pass(100);
    (pages[0] as Page).kill();
    for (let n = 0; n < 20; n++) {
      hub.publish();
      await pass(20);
    }
    await pass(3_000);
    expect(hub.open).toBe(1);
    expect(hub.resets).toBe(0);
    for (const page of pages.slice(1)) expect(page.numbers).toEqual(numbers(21));
  });

  test("because its page is left, another leads at once", async () => {
    const { hub, openAll } = world(6);
    const pages = await openAll(3);
    (pages[0] as Page).client.close();
    await pass(500);
    expect(hub.open).toBe(1);
    hub.publish();
    await pass(500);
    for (const page of pages.slice(1)) expect(page.numbers).toEqual([1]);
  });

  test("silently, because it is frozen with its lock, another takes its place", async () => {
    const { hub, openAll } = world(7);
    const pages = await openAll(3);
    const [leader, ...others] = pages as [Page, Page, Page];
    leader.freeze();
    for (let n = 0; n < 70; n++) {
      hub.publish();
      await pass(1_000);
    }
    await pass(20_000);
    for (const page of others) expect(page.numbers).toHaveLength(70);
    // When it thaws, it follows.
    leader.thaw();
    await pass(5_000);
    hub.publish();
    await pass(1_000);
    for (const page of pages) page.assertContinuous(71);
    expect(hub.open).toBe(1);
  });
});

test("a tab that has not heard the leader for a while asks it for what it lacks", async () => {
  const { hub, openBehindLeader } = world(10);
  const pages = await openBehindLeader(1);
  const [, follower] = pages as [Page, Page];
  hub.publish();
  await pass(500);
  follower.tab.isFrozen = true;
  for (let n = 0; n < 10; n++) hub.publish();
  await pass(500);
  follower.tab.isFrozen = false;
  hub.publish();
  await pass(500);
  expect(follower.numbers).toEqual(numbers(12));
  expect(hub.connections).toBe(2);
});

test("a tab whose question dies with the leader asks the next one", async () => {
  const { browser, hub, openBehindLeader } = world(14);
  const pages = await openBehindLeader(2);
  const [leader, , follower] = pages as [Page, Page, Page];
  follower.tab.isFrozen = true;
  hub.publish();
  await pass(500);
  follower.tab.isFrozen = false;
  const post = browser.post.bind(browser);
  vi.spyOn(browser, "post").mockImplementation((from, note) => {
    if ((note as { type: string }).type === "after" && !leader.isGone) leader.kill();
    post(from, note);
  });
  hub.publish();
  await pass(2_000);
  expect(leader.isGone).toBe(true);
  for (const page of pages.slice(1)) expect(page.numbers).toEqual([1, 2]);
});

test("a tab that has missed more than the leader still has begins with a stream of its own again", async () => {
  const { hub, openBehindLeader } = world(11);
  const pages = await openBehindLeader(1);
  const [, follower] = pages as [Page, Page];
  hub.publish();
  await pass(500);
  follower.tab.isFrozen = true;
  for (let n = 0; n < 1_100; n++) hub.publish();
  await pass(20_000);
  follower.tab.isFrozen = false;
  hub.publish();
  await pass(20_000);
  expect(follower.numbers).toEqual(numbers(1_102));
  expect(hub.connections).toBe(3);
  expect(hub.open).toBe(1);
});

test("a tab that is seen does not wait for a hidden leader that does not come to connect again", async () => {
  const { hub, openBehindLeader } = world(12);
  const pages = await openBehindLeader(2);
  const [leader, seen] = pages as [Page, Page, Page];
  leader.isSlow = true;
  seen.tab.isVisible = true;
  hub.cut();
  hub.publish();
  await pass(15_000);
  hub.publish();
  await pass(500);
  for (const page of pages) expect(page.numbers).toEqual(page === leader ? [] : [1, 2]);
  leader.isSlow = false;
  await pass(5_000);
  for (const page of pages) expect(page.numbers).toEqual([1, 2]);
  expect(hub.open).toBe(1);
});

test("where locks are not allowed, each tab has its own stream", async () => {
  const { browser, hub, openAll } = world(13);
  vi.spyOn(browser, "request").mockRejectedValue(new DOMException("not here", "SecurityError"));
  const pages = await openAll(2);
  hub.publish();
  await pass(500);
  for (const page of pages) expect(page.numbers).toEqual([1]);
  expect(hub.open).toBe(2);
});

describe("a hub that is away", () => {
  test("is waited for, and all tabs go on", async () => {
    const { hub, openAll } = world(8);
    const pages = await openAll(4);
    hub.publish();
    hub.isDown = true;
    await pass(100);
    hub.cut();
    await pass(1_000);
    for (const page of pages) expect(page.client.state).not.toBe("open");
    hub.publish();
    await pass(60_000);
    hub.isDown = false;
    await pass(60_000);
    for (const page of pages) {
      expect(page.numbers).toEqual([1, 2]);
      expect(page.client.state).toBe("open");
    }
    expect(hub.open).toBe(1);
  });

  test.each<Past>(["history", "snapshot"])("and has another history then, resets all of them (%s)", async (past) => {
    const { hub, openAll } = world(9, past);
    const pages = await openAll(4);
    for (let n = 0; n < 10; n++) hub.publish();
    await pass(1_000);
    hub.restart();
    hub.publish();
    await pass(5_000);
    hub.publish();
    await pass(5_000);
    // The leader was, and has passed it on.
    expect(hub.resets).toBe(1);
    for (const page of pages) {
      expect(page.resets).toBe(1);
      page.assertContinuous(12);
      expect(page.numbers.at(-1)).toBe(12);
    }
    expect(hub.open).toBe(1);
  });
});

/** Tabs come, go, are killed, frozen and left; streams are cut. */
async function play(seed: number): Promise<void> {
  const random = new Random(seed);
  const past = random.of<Past>(["none", "history", "snapshot"]);
  const { hub, open } = world(seed + 1, past, random.chance(0.3) ? 40 : undefined);
  let pages = Array.from({ length: 2 + random.below(6) }, open);
  for (let step = 0; step < 300; step++) {
    if (random.chance(0.6)) for (let n = random.below(10); n >= 0; n--) hub.publish();
    if (random.chance(0.1)) hub.publishEphemeral(JSON.stringify(`e${step}`));
    if (random.chance(0.03)) hub.cut(random.next());
    if (random.chance(0.003)) hub.restart();
    if (random.chance(0.02)) hub.isDown = !hub.isDown;
    if (random.chance(0.05) && pages.length > 1) {
      const page = random.of(pages);
      if (random.chance(0.5)) page.kill();
      else page.client.close();
      pages = pages.filter((other) => other !== page);
    }
    if (random.chance(0.05) && pages.length < 10) pages.push(open());
    if (random.chance(0.03)) random.of(pages).client.reconnect();
    // What it says and is said meanwhile is lost.
    if (random.chance(0.2)) for (const { tab } of pages) tab.isFrozen = random.chance(0.1);
    if (random.chance(0.1)) for (const { tab } of pages) tab.isVisible = random.chance(0.2);
    await pass(random.chance(0.9) ? random.below(100) : random.below(5_000));
  }
  hub.isDown = false;
  for (const { tab } of pages) tab.isFrozen = false;
  await pass(120_000);
  hub.publish();
  await pass(10_000);
  for (const page of pages) {
    page.assertContinuous(hub.last);
    expect(page.numbers.at(-1)).toBe(hub.last);
    expect(page.typed, "ephemeral events, at most once").toEqual([...new Set(page.typed)]);
  }
  expect(hub.open).toBe(1);
  for (const page of pages) page.client.close();
  await pass(1_000);
  expect(hub.open).toBe(0);
}

describe("at random", () => {
  const seeds = Number(process.env["TIDINGS_TABS_SEEDS"] ?? 30);
  const first = Number(process.env["TIDINGS_TABS_SEED"] ?? 1);
  test.each(Array.from({ length: seeds }, (_, i) => first + i))("nothing is missing, doubled or out of order (seed %i)", play);
});
