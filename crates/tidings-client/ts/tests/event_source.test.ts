// The transport over the browser's EventSource.

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { connect } from "../client.ts";
import { eventSourceTransport } from "../event_source_transport.ts";
import type { Sink } from "../transport.ts";
import { FakeServer } from "./fake_server.ts";

class FakeEventSource extends EventTarget {
  static readonly CLOSED = 2;
  static all: FakeEventSource[] = [];
  readyState = 0;
  readonly url: string;
  readonly withCredentials: boolean;
  lastEventId = "";

  constructor(url: string, { withCredentials = false } = {}) {
    super();
    this.url = url;
    this.withCredentials = withCredentials;
    FakeEventSource.all.push(this);
  }

  says(name: string, data: string, id?: string): void {
    this.lastEventId = id ?? this.lastEventId;
    this.dispatchEvent(new MessageEvent(name, { data, lastEventId: this.lastEventId }));
  }

  opens(): void {
    this.readyState = 1;
    this.dispatchEvent(new Event("open"));
  }

  loses(readyState: 0 | 2): void {
    this.readyState = readyState;
    this.dispatchEvent(new Event("error"));
  }

  close(): void {
    this.readyState = 2;
  }
}

let server: FakeServer;

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
  FakeEventSource.all = [];
  vi.stubGlobal("EventSource", FakeEventSource);
});
afterEach(() => vi.useRealTimers());

const pass = (ms = 0): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

test("is the same object: events, statuses, the last id, the end", async () => {
  const client = connect("/events", { transport: eventSourceTransport(), credentials: "include" });
  const told: unknown[] = [];
  client.on("created", (order, { id }) => told.push(order, id));
  client.onReset((reason) => told.push(reason));
  client.onFinished(() => told.push("finished"));
  await pass();
  const [source] = FakeEventSource.all as [FakeEventSource];
  expect([source.url, source.withCredentials]).toEqual(["/events", true]);
  source.opens();
  expect(client.state).toBe("open");
  source.says("tidings:status", '{"status":"reset","reason":"expired","client":"c"}', "e-1");
  source.says("created", "1", "e-2");
  // One without an id of its own.
  source.says("created", "2");
  expect(told).toEqual(["expired", 1, "e-2", 2, undefined]);
  expect(client.lastEventId).toBe("e-2");
  // The browser connects again by itself.
  source.loses(0);
  expect(client.state).toBe("waiting");
  source.opens();
  expect(client.state).toBe("open");
  source.says("tidings:end", '{"reason":"finished"}');
  expect(told.at(-1)).toBe("finished");
  expect(client.state).toBe("closed");
  await pass();
  expect(source.readyState).toBe(2);
  expect(FakeEventSource.all).toHaveLength(1);
});

test("begins where the client was, by the query", async () => {
  vi.stubGlobal("location", { href: "https://app.test/page" });
  const client = connect("/events?topic=a", { transport: eventSourceTransport(), lastEventId: "e-7" });
  await pass();
  expect(FakeEventSource.all[0]?.url).toBe("https://app.test/events?topic=a&lastEventId=e-7");
  client.close();
});

test("asks by fetch why the browser has given up, and goes on if there was no reason", async () => {
  const client = connect("/events", { transport: eventSourceTransport(), fetch: server.fetch });
  await pass();
  const [source] = FakeEventSource.all as [FakeEventSource];
  source.says("message", "1", "e-5");
  source.loses(2);
  await pass();
  expect(server.last.lastEventId).toBe("e-5");
  expect(client.state).toBe("open");
  client.close();

  server.plans.push({ status: 204 });
  const finished = connect("/events", { transport: eventSourceTransport(), fetch: server.fetch });
  await pass();
  FakeEventSource.all[1]?.loses(2);
  await pass();
  expect(finished.state).toBe("closed");
  expect(finished.error).toBeUndefined();
});

test("sees silence if the heartbeat is an event", async () => {
  const client = connect("/events", { transport: eventSourceTransport({ heartbeat: "ping" }) });
  await pass();
  const [source] = FakeEventSource.all as [FakeEventSource];
  source.says("ping", "");
  await pass(44_000);
  source.says("ping", "");
  await pass(44_000);
  expect(source.readyState).toBe(0);
  await pass(4_000);
  expect(source.readyState).toBe(2);
  expect(FakeEventSource.all).toHaveLength(2);
  client.close();
});

test.each([{ headers: { "x-user": "ada" } }, { body: "{}" }, { token: "t" }])("refuses what it cannot send: %o", async (options) => {
  const client = connect("/events", { transport: eventSourceTransport(), ...options });
  await pass(60_000);
  expect(client.error).toMatchObject({ kind: "unsupported" });
  expect(FakeEventSource.all).toEqual([]);
});

test("a connection that has ended before it begins makes none", async () => {
  const signal = AbortSignal.abort("again");
  const nothing = (): void => {};
  const sink: Sink = { open: nothing, lost: nothing, alive: nothing, event: nothing, id: nothing, retry: nothing };
  const request = {
    url: "/events", method: "GET", headers: new Headers(), body: undefined, credentials: "same-origin", fetch: server.fetch,
    lastEventId: "", names: () => [], signal, session: signal,
  } as const;
  await expect(eventSourceTransport()(request, sink)).rejects.toBe("again");
  expect(FakeEventSource.all).toEqual([]);
});

test("the browser's own `open` and `error` are no events, and a server's are", async () => {
  const client = connect("/events", { transport: eventSourceTransport() });
  const told: unknown[] = [];
  client.on("error", (data) => told.push(data));
  await pass();
  FakeEventSource.all[0]?.loses(0);
  FakeEventSource.all[0]?.says("error", '"disk full"');
  expect(told).toEqual(["disk full"]);
  expect(client.state).toBe("waiting");
  client.close();
});
