import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { connect } from "../client.ts";
import type { TidingsClient } from "../client.ts";
import { eachPaint } from "../paint.ts";
import { createStore } from "../store.ts";
import { FakeServer } from "./fake_server.ts";

interface Events {
  created: { number: number };
}

let server: FakeServer;
let client: TidingsClient<Events>;

beforeEach(async () => {
  vi.useFakeTimers();
  server = new FakeServer();
  client = connect<Events>("/events", { fetch: server.fetch });
  await pass();
});
afterEach(() => {
  client.close();
  vi.useRealTimers();
});

const pass = (ms = 0): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);
const created = (...numbers: number[]): string =>
  numbers.map((number) => `event: created\ndata: ${JSON.stringify({ number })}\n\n`).join("");
const on = { created: (all: number[], { number }: { number: number }) => [...all, number] };

describe("a store", () => {
  test("is what events make of it, and cleared on reset", async () => {
    const store = createStore(client, { initial: [] as number[], on });
    server.last.begin();
    server.last.send(created(1, 2));
    await pass();
    expect(store.get()).toEqual([1, 2]);
    server.last.status({ status: "reset", reason: "trimmed", client: "c" }, "e-9");
    await pass();
    expect(store.get()).toEqual([]);
    server.last.send(created(2, 3));
    await pass();
    expect(store.get()).toEqual([2, 3]);
  });

  test("of a rendered page begins with its state, and has nothing after a reset", async () => {
    const store = createStore(client, { initial: [7], afterReset: [], on });
    server.last.begin("e-1", { status: "resumed", client: "c" });
    server.last.send(created(8));
    await pass();
    expect(store.get()).toEqual([7, 8]);
    server.last.status({ status: "reset", reason: "trimmed", client: "c" }, "e-9");
    await pass();
    expect(store.get()).toEqual([]);
  });

  test("tells its subscribers once for each paint, and does not show a reset that is filled in it", async () => {
    const store = createStore(client, { initial: [] as number[], on });
    const seen: number[][] = [];
    const stop = store.subscribe((state) => seen.push(state));
    server.last.send(created(1, 2));
    await pass(16);
    server.last.status({ status: "reset", reason: "trimmed", client: "c" }, "e-9");
    server.last.send(created(2, 3));
    await pass(16);
    expect(seen).toEqual([[], [1, 2], [2, 3]]);
    stop();
    server.last.send(created(4));
    await pass(16);
    expect(seen).toHaveLength(3);
    store.close();
    server.last.send(created(5));
    await pass(16);
    expect(store.get()).toEqual([2, 3, 4]);
  });

  test("that is closed does not tell what has come before the next paint", async () => {
    const store = createStore(client, { initial: [] as number[], on });
    const seen: number[][] = [];
    store.subscribe((state) => seen.push(state));
    server.last.send(created(1));
    await pass();
    expect(store.get()).toEqual([1]);
    store.close();
    await pass(1_000);
    expect(seen).toEqual([[]]);
  });
});

describe("eachPaint", () => {
  test("bring everything that came since the last one, at most 60 times a second", async () => {
    const paints: (() => void)[] = [];
    vi.stubGlobal("requestAnimationFrame", (paint: () => void) => paints.push(paint));
    vi.stubGlobal("cancelAnimationFrame", () => {});
    const seen: number[] = [];
    const stop = eachPaint(client, (events) => seen.push(events.length));
    for (let n = 0; n < 100; n++) {
      server.last.send(created(n));
      await pass();
    }
    expect(seen).toEqual([]);
    expect(paints).toHaveLength(1);
    paints.pop()?.();
    expect(seen).toEqual([100]);
    server.last.send(created(1));
    await pass();
    stop();
    paints.pop();
    await pass(1_000);
    expect(seen).toEqual([100]);
  });

  test("come a little later where nothing is painted", async () => {
    vi.stubGlobal("requestAnimationFrame", () => 1);
    vi.stubGlobal("cancelAnimationFrame", () => {});
    const seen: number[] = [];
    eachPaint(client, (events) => seen.push(events.length));
    server.last.send(created(1, 2, 3));
    await pass(99);
    expect(seen).toEqual([]);
    await pass(1);
    expect(seen).toEqual([3]);
  });
});
