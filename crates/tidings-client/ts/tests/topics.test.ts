// Streams by the names of topics. The types are tested against those that Rust writes, in `tests/tests/types`, too.

import { describe, expect, expectTypeOf, test, vi } from "vitest";
import { connect } from "../client.ts";
import { topics } from "../topics.ts";
import type { StreamUrl, TopicEvents, TopicName } from "../topics.ts";
import { FakeServer } from "./fake_server.ts";

interface Topics {
  orders: { created: { number: number }; closed: undefined };
  "room:*": { said: { text: string } };
  "room:*:log": { said: { line: number }; cut: undefined };
  "room:lobby": { rang: undefined };
}
const streams = topics<Topics>("/events");

describe("the address of a stream", () => {
  test("asks for a topic, or several", () => {
    expect(streams.url("orders")).toBe("/events?topic=orders");
    expect(streams.url(["orders", "room:7"])).toBe("/events?topic=orders&topic=room%3A7");
    expect(streams.url("room:&=*")).toBe("/events?topic=room%3A%26%3D*");
  });

  test("keeps a query, or is the application's own", () => {
    expect(topics<Topics>("/events?tenant=1").url("orders")).toBe("/events?tenant=1&topic=orders");
    expect(topics<Topics>((names) => `/streams/${names.join("+")}`).url(["orders", "room:*"])).toBe("/streams/orders+room:*");
  });
});

test("subscribing opens the stream, with the options, and calls back with the topic's events", async () => {
  const server = new FakeServer();
  const orders = streams.subscribe("orders", { fetch: server.fetch, headers: { "x-tenant": "1" } });
  const seen: unknown[] = [];
  orders.on("created", ({ number }) => seen.push(number));
  orders.on("closed", (nothing) => seen.push(nothing));
  await vi.waitFor(() => expect(server.answers).toHaveLength(1));
  expect(server.last.request.url).toBe("http://hub.test/events?topic=orders");
  expect(server.last.request.headers.get("x-tenant")).toBe("1");
  server.last.begin();
  server.last.send('event: created\ndata: {"number":7}\n\nevent: closed\ndata:\n\n');
  await vi.waitFor(() => expect(seen).toEqual([7, undefined]));
  orders.close();
});

describe("the events of a name", () => {
  test("are those of its topic, or of the patterns that match it", () => {
    expectTypeOf<TopicEvents<Topics, "orders">>().toEqualTypeOf<Readonly<Topics["orders"]>>();
    expectTypeOf<TopicEvents<Topics, "room:lobby">>().toEqualTypeOf<Readonly<Topics["room:lobby"]>>();
    expectTypeOf<TopicEvents<Topics, "room:7">>().toEqualTypeOf<Readonly<Topics["room:*"]>>();
    expectTypeOf<TopicEvents<Topics, `room:${number}`>>().toEqualTypeOf<Readonly<Topics["room:*"]>>();
    expectTypeOf<TopicEvents<Topics, "room:7:log">>()
      .toEqualTypeOf<{ readonly said: { text: string } | { line: number }; readonly cut: undefined }>();
  });

  test("of a pattern are those of all that it matches, and of several names all of theirs", () => {
    expectTypeOf<keyof TopicEvents<Topics, "room:*">>().toEqualTypeOf<"said" | "cut" | "rang">();
    expectTypeOf<keyof TopicEvents<Topics, "orders" | "room:lobby">>().toEqualTypeOf<"created" | "closed" | "rang">();
  });

  test("are known to an address, and are any where nothing is known", () => {
    expectTypeOf(streams.url("orders")).toEqualTypeOf<StreamUrl<TopicEvents<Topics, "orders">>>();
    expectTypeOf(streams.url("orders")).toExtend<string>();
    expectTypeOf<TopicName<Topics>>().toEqualTypeOf<"orders" | `room:${string}` | `room:${string}:log`>();
    const client = connect(streams.url("orders"));
    client.on("created", (order) => expectTypeOf(order).toEqualTypeOf<{ number: number }>());
    // @ts-expect-error -- there is no such event
    client.on("deleted", () => {});
    // @ts-expect-error -- there is no such topic
    streams.url("order");
    client.close();
    const any = connect("/events");
    any.on("deleted", (data) => expectTypeOf(data).toBeAny());
    any.close();
  });
});
