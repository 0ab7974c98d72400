import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { TidingsClient, connect } from "../client.ts";
import type { TidingsError } from "../error.ts";
import { text } from "../event.ts";
import type { ClientOptions } from "../options.ts";
import { FakeServer } from "./fake_server.ts";

let server: FakeServer;
let clients: TidingsClient[];

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
  clients = [];
});
afterEach(() => {
  for (const client of clients) client.close();
  vi.useRealTimers();
});

/** A client, and everything that it tells. */
function open(options: ClientOptions = {}): { client: TidingsClient; told: unknown[]; errors: TidingsError[] } {
  const client = connect("/events", { fetch: server.fetch, ...options });
  clients.push(client);
  const told: unknown[] = [];
  const errors: TidingsError[] = [];
  client.onFresh(() => told.push("fresh"));
  client.onResumed(() => told.push("resumed"));
  client.onReset((reason) => told.push(`reset ${reason}`));
  client.onEnded((reason) => told.push(`ended ${reason}`));
  client.onFinished(() => told.push("finished"));
  client.onState((state) => { if (state === "paused" || state === "closed") told.push(state); });
  client.onError((error) => errors.push(error));
  client.on("n", (n) => told.push(n));
  return { client, told, errors };
}

const pass = (ms = 0): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

describe("a stream", () => {
  test("is opened with what the standard and the application want", async () => {
    open({ headers: { "x-user": "ada" }, credentials: "include" });
    await pass();
    const [url, init] = server.fetch.mock.calls[0] as [string, RequestInit];
    expect(url).toBe("/events");
    expect(Object.fromEntries(new Headers(init.headers))).toEqual({ accept: "text/event-stream", "x-user": "ada" });
    expect(init).toMatchObject({ method: "GET", credentials: "include", cache: "no-store" });
  });

  test("with a body is a POST", async () => {
    open({ body: "{}" });
    await pass();
    expect(server.last.request.method).toBe("POST");
    expect(await server.last.request.text()).toBe("{}");
  });

  test("gives listeners the data, and each its own", async () => {
    const { client } = open();
    const seen: unknown[] = [];
    const stop = client.on("created", (order, event) => seen.push(order, event.id, event.text));
    await pass();
    server.last.begin();
    server.last.send('event: created\ndata: {"number":17}\nid: e-2\n\nevent: other\ndata: 1\n\nevent: created\ndata:\n\n');
    await pass();
    expect(seen).toEqual([{ number: 17 }, "e-2", '{"number":17}', undefined, undefined, ""]);
    stop();
    server.last.send("event: created\ndata: 1\n\n");
    await pass();
    expect(seen).toHaveLength(6);
    expect(client.lastEventId).toBe("e-2");
    expect(client.status).toEqual({ status: "fresh", client: "c" });
    expect(client.state).toBe("open");
  });

  test("decodes as the application says, and the hub's own events as JSON", async () => {
    const { client, told } = open({ decode: text });
    await pass();
    server.last.begin();
    server.last.send("event: n\ndata: 017\n\n");
    await pass();
    expect(told).toEqual(["fresh", "017"]);
    expect(client.status?.status).toBe("fresh");
  });

  test("goes on after data that cannot be decoded, which is an error", async () => {
    const { told, errors } = open();
    await pass();
    server.last.send("event: n\ndata: {\n\nevent: n\ndata: 1\n\n");
    await pass();
    expect(told).toEqual([1]);
    expect(errors).toMatchObject([{ kind: "decode" }]);
  });

  test("goes on after a listener that throws, which is reported", async () => {
    const reported = vi.spyOn(globalThis, "queueMicrotask");
    const { client, told } = open();
    client.on("n", () => { throw new Error("of the application"); });
    client.on("n", () => told.push("the other one"));
    await pass();
    reported.mockImplementation((callback) => { expect(callback).toThrow("of the application"); });
    server.last.send("event: n\ndata: 1\n\n");
    await pass();
    expect(told).toEqual([1, "the other one"]);
    expect(reported).toHaveBeenCalled();
  });

  test("is closed once and for all", async () => {
    const { client, told } = open();
    await pass();
    server.last.begin();
    await pass();
    client.close();
    expect(server.last.isAborted).toBe(true);
    await pass(100_000);
    expect(server.fetch).toHaveBeenCalledTimes(1);
    expect(told).toEqual(["fresh", "closed"]);
    expect(client.error).toBeUndefined();
    client.close();
    expect(told).toHaveLength(2);
  });

  test("that is closed at once is never asked for", async () => {
    open().client.close();
    await pass(1_000);
    expect(server.fetch).not.toHaveBeenCalled();
  });
});

describe("a connection that is lost", () => {
  test.each(["fails", "ends"])("and %s is followed by another, from the last id, after the server's retry", async (how) => {
    const { told } = open();
    await pass();
    server.last.begin("e-1", undefined, 3_100);
    server.last.send("event: n\ndata: 1\nid: e-2\n\n");
    await pass();
    if (how === "fails") server.last.fail();
    else server.last.end();
    await pass(3_099);
    expect(server.answers).toHaveLength(1);
    await pass(1);
    expect(server.answers).toHaveLength(2);
    expect(server.last.lastEventId).toBe("e-2");
    server.last.begin("e-2", { status: "resumed", client: "d" });
    await pass();
    expect(told).toEqual(["fresh", 1, "resumed"]);
  });

  test("in the middle of an event does not show that, and its id does not count", async () => {
    const { client, told } = open();
    await pass();
    server.last.begin("e-1");
    server.last.send("id: e-2\nevent: n\nda");
    await pass();
    server.last.fail();
    await pass(1_000);
    expect(told).toEqual(["fresh"]);
    expect(client.lastEventId).toBe("e-1");
    expect(server.last.lastEventId).toBe("e-1");
  });

  test("again and again is followed by ever longer delays, up to a maximum", async () => {
    vi.spyOn(Math, "random").mockReturnValue(1);
    server.plans.push(...Array(8).fill("network error"));
    const { client, errors } = open({ firstDelay: 100, maxDelay: 2_000 });
    const delays: unknown[] = [];
    client.onState((state, { delay }) => { if (state === "waiting") delays.push(delay); });
    await pass(20_000);
    expect(delays).toEqual([200, 400, 800, 1_600, 2_000, 2_000, 2_000, 2_000]);
    expect(errors.map(({ kind }) => kind)).toEqual(Array(8).fill("network"));
    // What has brought something begins anew.
    server.last.begin("e-1", undefined, 50);
    await pass();
    server.last.fail();
    await pass(50);
    expect(server.answers).toHaveLength(2);
  });

  test("goes on after any id: a header has its bytes", async () => {
    open();
    await pass();
    server.last.begin("東京", undefined, 10);
    await pass();
    server.last.fail();
    await pass(1_000);
    expect(server.answers).toHaveLength(2);
    const bytes = Uint8Array.from(server.last.lastEventId ?? "", (character) => character.charCodeAt(0));
    expect(new TextDecoder().decode(bytes)).toBe("東京");
  });

  test("has the id of a block without data, and of a rendered page", async () => {
    const { client } = open({ lastEventId: "e-7" });
    await pass();
    expect(server.last.lastEventId).toBe("e-7");
    server.last.send("id: e-9\n\n");
    await pass();
    expect(client.lastEventId).toBe("e-9");
  });
});

describe("an answer that is no stream", () => {
  test("204 is the end: nothing is to come", async () => {
    server.plans.push({ status: 204 });
    const { client, told } = open();
    await pass(100_000);
    expect(told).toEqual(["finished", "closed"]);
    expect(client.error).toBeUndefined();
    expect(server.fetch).toHaveBeenCalledTimes(1);
  });

  test.each([400, 401, 403, 404, 409, 410, 413])("%i is final", async (status) => {
    server.plans.push({ status });
    const { client, told, errors } = open();
    await pass(100_000);
    expect(told).toEqual(["closed"]);
    expect(errors).toMatchObject([{ kind: "refused", status }]);
    expect(client.error).toBe(errors[0]);
    expect(server.fetch).toHaveBeenCalledTimes(1);
  });

  test.each([408, 425, 429, 500, 502, 503, 504])("%i may be a stream later", async (status) => {
    server.plans.push({ status });
    const { errors, told } = open();
    await pass(2_000);
    expect(errors).toMatchObject([{ kind: "refused", status }]);
    server.last.begin();
    await pass();
    expect(told).toEqual(["fresh"]);
  });

  test("waits for as long as Retry-After says", async () => {
    server.plans.push({ status: 503, headers: { "retry-after": "40" } });
    open();
    await pass(39_999);
    expect(server.fetch).toHaveBeenCalledTimes(1);
    await pass(1);
    expect(server.fetch).toHaveBeenCalledTimes(2);
  });

  test("may ask for more time than a timer has", async () => {
    server.plans.push({ status: 503, headers: { "retry-after": "2592000" } });
    open();
    await pass(60_000);
    expect(server.fetch).toHaveBeenCalledTimes(1);
  });

  test("a page of a proxy, or of a login, is tried again", async () => {
    server.plans.push({ status: 200, headers: { "content-type": "text/html" } });
    const { errors } = open();
    await pass(2_000);
    expect(errors).toMatchObject([{ kind: "content-type", status: 200 }]);
    expect(errors[0]?.message).toContain("text/html");
    expect(server.fetch).toHaveBeenCalledTimes(2);
  });
});

describe("what a hub says at the end", () => {
  const end = (reason: string, retry?: number): string =>
    `event: tidings:end\n${retry === undefined ? "" : `retry: ${retry}\n`}data: {"reason":"${reason}"}\n\n`;

  test("finished: the stream is over, without another request", async () => {
    const { told } = open();
    await pass();
    server.last.begin();
    server.last.send(`event: n\ndata: 1\n\n${end("finished")}`);
    server.last.end();
    await pass(100_000);
    expect(told).toEqual(["fresh", 1, "ended finished", "finished", "closed"]);
    expect(server.fetch).toHaveBeenCalledTimes(1);
  });

  test("superseded: it does not supersede its successor", async () => {
    const { told } = open();
    await pass();
    server.last.begin();
    server.last.send(end("superseded", 100));
    await pass(100_000);
    expect(told).toEqual(["fresh", "ended superseded", "closed"]);
    expect(server.fetch).toHaveBeenCalledTimes(1);
  });

  test.each(["limited", "drained", "lifetime", "expired", "revoked", "a reason of a later version"])(
    "%s: it comes back after exactly the retry of that event, where it was",
    async (reason) => {
      const { told } = open();
      await pass();
      server.last.begin("e-1");
      server.last.send(end(reason, 31_234));
      server.last.end();
      await pass(31_233);
      expect(server.fetch).toHaveBeenCalledTimes(1);
      await pass(1);
      expect(server.last.lastEventId).toBe("e-1");
      expect(told).toEqual(["fresh", `ended ${reason}`]);
    },
  );
});

describe("a token", () => {
  test("is asked for before each connection, and anew when its time was over", async () => {
    const token = vi.fn(({ renew }: { renew: boolean }) => (renew ? "new" : "old"));
    open({ token });
    await pass();
    expect(server.last.request.headers.get("authorization")).toBe("Bearer old");
    server.last.begin();
    server.last.send('event: tidings:end\nretry: 10\ndata: {"reason":"expired"}\n\n');
    server.last.end();
    await pass(10);
    expect(server.last.request.headers.get("authorization")).toBe("Bearer new");
    expect(server.last.lastEventId).toBe("e-1");
  });

  test("that is refused is renewed once, at once, and the position is kept", async () => {
    const token = vi.fn(async ({ renew }: { renew: boolean }) => (renew ? "new" : "old"));
    const { errors } = open({ token, lastEventId: "e-5" });
    server.plans.push({ status: 401 });
    await pass();
    expect(server.fetch).toHaveBeenCalledTimes(2);
    expect(server.last.request.headers.get("authorization")).toBe("Bearer new");
    expect(server.last.lastEventId).toBe("e-5");
    expect(errors).toEqual([]);
  });

  test("that is refused again is the end", async () => {
    server.plans.push({ status: 401 }, { status: 401 });
    const { client } = open({ token: () => "t" });
    await pass(100_000);
    expect(server.fetch).toHaveBeenCalledTimes(2);
    expect(client.error).toMatchObject({ kind: "refused", status: 401 });
  });

  test("that cannot be had now is asked for again", async () => {
    const token = vi.fn<() => Promise<string>>().mockRejectedValueOnce(new Error("away")).mockResolvedValue("t");
    const { errors } = open({ token });
    await pass(2_000);
    expect(errors).toMatchObject([{ kind: "token", cause: new Error("away") }]);
    expect(server.fetch).toHaveBeenCalledTimes(1);
  });

  test("of a client that is closed meanwhile is not used", async () => {
    let give: (token: string) => void = () => {};
    const { client } = open({ token: () => new Promise((resolve) => { give = resolve; }) });
    await pass();
    client.close();
    give("t");
    await pass(1_000);
    expect(server.fetch).not.toHaveBeenCalled();
  });

  test("that never comes is asked for again by reconnect()", async () => {
    const token = vi.fn<() => Promise<string>>().mockReturnValueOnce(new Promise(() => {})).mockResolvedValue("t");
    const { client, errors } = open({ token });
    await pass(100_000);
    expect(server.fetch).not.toHaveBeenCalled();
    client.reconnect();
    await pass();
    expect([token.mock.calls.length, server.answers.length, errors.length]).toEqual([2, 1, 0]);
  });
});

describe("silence", () => {
  test("of three heartbeats is the end of a connection", async () => {
    const { errors } = open();
    await pass();
    server.last.begin();
    for (let n = 0; n < 10; n++) {
      await pass(15_000);
      server.last.send(":\n\n");
    }
    await pass(44_000);
    expect(server.last.isAborted).toBe(false);
    await pass(1_000);
    expect(server.answers[0]?.isAborted).toBe(true);
    expect(errors).toMatchObject([{ kind: "silent" }]);
    await pass(1_000);
    expect(server.answers).toHaveLength(2);
    expect(server.last.lastEventId).toBe("e-1");
  });

  test("instead of an answer, too", async () => {
    server.plans.push("silence");
    const { errors } = open({ silence: 5_000 });
    await pass(7_000);
    expect(errors).toMatchObject([{ kind: "silent" }]);
    expect(server.answers).toHaveLength(1);
  });

  test("is allowed if the application says so", async () => {
    const { errors } = open({ silence: Infinity });
    await pass();
    server.last.begin();
    await pass(3_600_000);
    expect(errors).toEqual([]);
    expect(server.fetch).toHaveBeenCalledTimes(1);
  });

  test("may be allowed for longer than a timer can last", async () => {
    open({ silence: 2 ** 32 });
    await pass();
    const before = Date.now();
    await vi.advanceTimersToNextTimerAsync();
    expect(Date.now() - before).toBe(2 ** 31 - 1);
  });

  test("is noticed also when the clock is set back", async () => {
    const { errors } = open();
    await pass();
    server.last.begin();
    await pass(10_000);
    vi.setSystemTime(Date.now() - 3_600_000);
    await pass(80_900);
    expect(errors).toMatchObject([{ kind: "silent" }]);
  });

  test("while a computer slept is noticed soon after", async () => {
    open();
    await pass();
    server.last.begin();
    await pass(10_000);
    vi.setSystemTime(Date.now() + 3_600_000);
    await pass(36_000);
    expect(server.answers[0]?.isAborted).toBe(true);
  });
});

describe("for await", () => {
  test("has every event, those of the hub included, until the stream is finished", async () => {
    const { client } = open();
    const seen: string[] = [];
    const done = (async () => { for await (const event of client) seen.push(`${event.name} ${event.text}`); })();
    await pass();
    server.last.begin();
    server.last.send('event: n\ndata: 1\n\ndata: x\n\nevent: tidings:end\ndata: {"reason":"finished"}\n\n');
    await pass();
    await done;
    expect(seen).toEqual([
      'tidings:status {"status":"fresh","client":"c"}', "n 1", "message x", 'tidings:end {"reason":"finished"}',
    ]);
  });

  test("keeps what comes while its body works, and throws what is final", async () => {
    const { client } = open();
    const events = client[Symbol.asyncIterator]();
    await pass();
    server.last.send("event: n\ndata: 1\n\nevent: n\ndata: 2\n\n");
    await pass();
    server.plans.push({ status: 403 });
    server.last.end();
    await pass(2_000);
    expect((await events.next()).value?.data).toBe(1);
    expect((await events.next()).value?.data).toBe(2);
    await expect(events.next()).rejects.toMatchObject({ kind: "refused", status: 403 });
    expect(await events.next()).toEqual({ done: true, value: undefined });
    await expect(client[Symbol.asyncIterator]().next()).rejects.toMatchObject({ status: 403 });
  });

  test("that is left takes no more", async () => {
    const { client } = open();
    await pass();
    server.last.send("event: n\ndata: 1\n\nevent: n\ndata: 2\n\n");
    const seen: unknown[] = [];
    const done = (async () => {
      for await (const event of client) {
        seen.push(event.data);
        break;
      }
    })();
    await pass();
    await done;
    expect(seen).toEqual([1]);
    expect(client.state).toBe("open");
  });
});

describe("reconnect()", () => {
  test("is at once, and does not count as a failure", async () => {
    const { client, errors } = open();
    await pass();
    server.last.begin();
    await pass();
    client.reconnect();
    await pass();
    expect(server.answers[0]?.isAborted).toBe(true);
    expect(server.last.lastEventId).toBe("e-1");
    expect(errors).toEqual([]);
  });

  test("ends a delay", async () => {
    server.plans.push({ status: 503, headers: { "retry-after": "1000" } });
    const { client } = open();
    await pass(10);
    client.reconnect();
    await pass();
    expect(server.fetch).toHaveBeenCalledTimes(2);
  });
});

test.each<[string, (client: TidingsClient) => void]>([
  ["onState", (client) => client.onState((state) => { if (state === "waiting") client.reconnect(); })],
  ["onError", (client) => client.onError(() => client.reconnect())],
])("reconnect() in a listener of %s ends the delay that has not begun", async (_, listen) => {
  server.plans.push("network error");
  const { client } = open();
  listen(client);
  await pass();
  expect(server.fetch).toHaveBeenCalledTimes(2);
});

test.each<[string, (client: TidingsClient) => void]>([
  ["onState", (client) => client.onState((state) => { if (state === "waiting") client.close(); })],
  ["onError", (client) => client.onError(() => client.close())],
])("close() in a listener of %s is for good", async (_, listen) => {
  server.plans.push("network error");
  const { client } = open();
  listen(client);
  await pass(100_000);
  expect(client.state).toBe("closed");
  expect(server.fetch).toHaveBeenCalledTimes(1);
});

test("what an old connection still says is not heard", async () => {
  const { client, told } = open({
    transport: async (request, sink) => {
      setTimeout(() => sink.event({ event: "n", data: "1" }), 50);
      return new Promise((_, reject) => request.signal.addEventListener("abort", () => reject(request.signal.reason)));
    },
  });
  await pass(10);
  client.reconnect();
  await pass(49);
  expect(told).toEqual([]);
  await pass(1);
  expect(told).toEqual([1]);
});
