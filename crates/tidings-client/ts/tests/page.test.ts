// A client and the life of its page.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { TidingsClient } from "../client.ts";
import type { ClientOptions } from "../options.ts";
import { FakeServer } from "./fake_server.ts";

let server: FakeServer;
let client: TidingsClient;
let page: EventTarget;
let visibility: EventTarget & { visibilityState: string };

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  server = new FakeServer();
  page = new EventTarget();
  visibility = Object.assign(new EventTarget(), { visibilityState: "visible" });
  vi.stubGlobal("addEventListener", (...args: Parameters<EventTarget["addEventListener"]>) => page.addEventListener(...args));
  vi.stubGlobal("document", visibility);
});
afterEach(() => {
  client.close();
  vi.useRealTimers();
});

const pass = (ms = 0): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);
const happens = (name: string): void => void page.dispatchEvent(new Event(name));
const becomes = (state: string): void => {
  visibility.visibilityState = state;
  visibility.dispatchEvent(new Event("visibilitychange"));
};

async function open(options: ClientOptions = {}): Promise<void> {
  client = new TidingsClient("/events", { fetch: server.fetch, ...options });
  await pass();
  server.last.begin("e-3");
  await pass();
}

describe("a page that is left", () => {
  test("gives its connection back, and goes on where it was when it is shown again", async () => {
    await open();
    happens("pagehide");
    expect(server.last.isAborted).toBe(true);
    await pass(100_000);
    expect(client.state).toBe("paused");
    expect(server.answers).toHaveLength(1);
    happens("pageshow");
    await pass();
    expect(server.last.lastEventId).toBe("e-3");
    expect(server.answers).toHaveLength(2);
  });

  test("while it waits makes no attempt", async () => {
    await open();
    server.last.fail();
    await pass();
    expect(client.state).toBe("waiting");
    happens("pagehide");
    await pass(100_000);
    expect(server.answers).toHaveLength(1);
    happens("pageshow");
    await pass();
    expect(server.answers).toHaveLength(2);
  });

  test("and closed meanwhile stays closed", async () => {
    await open();
    happens("pagehide");
    await pass();
    client.close();
    happens("pageshow");
    await pass(1_000);
    expect(server.answers).toHaveLength(1);
  });
});

describe("a page that is hidden", () => {
  test("keeps its stream, unless the application says something else", async () => {
    await open();
    becomes("hidden");
    await pass(30_000);
    expect(server.last.isAborted).toBe(false);
  });

  test.each([2 ** 31, Infinity])("keeps its stream for longer than a timer can last (%s ms)", async (pauseHiddenAfter) => {
    await open({ pauseHiddenAfter });
    becomes("hidden");
    await pass(30_000);
    expect(client.state).toBe("open");
  });

  test("for as long as the application says is paused until it is seen", async () => {
    await open({ pauseHiddenAfter: 10_000 });
    becomes("hidden");
    await pass(9_999);
    becomes("visible");
    await pass(20_000);
    expect(server.last.isAborted).toBe(false);
    becomes("hidden");
    await pass(10_000);
    expect(server.last.isAborted).toBe(true);
    expect(client.state).toBe("paused");
    becomes("visible");
    await pass();
    expect(server.last.lastEventId).toBe("e-3");
  });

  test("and shown again by the back button is not taken for seen", async () => {
    await open({ pauseHiddenAfter: 1 });
    becomes("hidden");
    await pass(1);
    happens("pagehide");
    happens("pageshow");
    await pass(1_000);
    expect(client.state).toBe("paused");
  });
});

describe("a network that goes away", () => {
  test("and comes back is used soon, not after a delay of half a minute", async () => {
    await open();
    happens("offline");
    server.plans.push("network error");
    server.last.fail();
    await pass(29_999);
    expect(server.fetch).toHaveBeenCalledTimes(1);
    happens("online");
    await pass(250);
    expect(server.fetch).toHaveBeenCalledTimes(2);
  });

  test("is not believed for ever: there may be one that the browser does not see", async () => {
    await open();
    happens("offline");
    server.last.fail();
    await pass(30_000);
    expect(server.answers).toHaveLength(2);
  });

  test("leaves no connection that is dead without knowing", async () => {
    await open();
    happens("offline");
    await pass(5_000);
    expect(server.last.isAborted).toBe(false);
    happens("online");
    await pass();
    expect(server.answers[0]?.isAborted).toBe(true);
    expect(server.last.lastEventId).toBe("e-3");
  });

  test("does not end a connection that lives", async () => {
    await open();
    happens("offline");
    server.last.send(":\n\n");
    await pass();
    happens("online");
    await pass(1_000);
    expect(server.answers).toHaveLength(1);
  });
});

test("a page that is hidden when its network is back is not kept paused by the attempt that was due", async () => {
  await open({ pauseHiddenAfter: 0 });
  server.last.fail();
  await pass();
  happens("offline");
  happens("online");
  becomes("hidden");
  await pass(600);
  expect(client.state).toBe("paused");
  becomes("visible");
  await pass();
  expect(client.state).toBe("open");
});

test("a client that is closed watches nothing any more", async () => {
  await open({ pauseHiddenAfter: 10 });
  const removed = vi.spyOn(AbortController.prototype, "abort");
  client.close();
  expect(removed).toHaveBeenCalled();
  becomes("hidden");
  expect(vi.getTimerCount()).toBe(0);
});
