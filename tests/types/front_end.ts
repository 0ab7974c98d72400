// A front-end that is compiled against `topics.ts`, which the enums of `tests/tests/types/events.rs` give.

import { connect, createStore, eachPaint, topics } from "tidings-client";
import type { TopicEvents } from "tidings-client";
import { defineDebugElement, logTo, trace } from "tidings-client/debug";
import type { TidingsDebugElement } from "tidings-client/debug";
import { useTidings } from "tidings-client/react";
import { tidings } from "tidings-client/svelte";
import { useTidings as useTidingsInVue } from "tidings-client/vue";
import type { Order, Topics } from "./topics";

const { url, subscribe } = topics<Topics>("/events");
export const shown: (string | number)[] = [];

// One topic.
const orders = subscribe("orders");
orders.on("created", (order) => shown.push(order.number, order.note ?? "", order.address.street));
orders.on("moved", ([from, to]) => shown.push(from.toFixed(), to.toUpperCase()));
orders.on("all_closed", (nothing: undefined) => shown.push(typeof nothing));
orders.onReset(() => shown.splice(0));

// The same, by the map alone.
connect<Topics["orders"]>("/events?topic=orders").on("created", (order) => shown.push(order.number));

// A topic that matches a pattern, the pattern, and several topics on one stream.
subscribe(`room:${shown.length}`).on("said", ({ text }) => shown.push(text));
subscribe("room:*").on("said", ({ text }) => shown.push(text));
const both = subscribe(["orders", "room:lobby"]);
both.on("created", (order) => shown.push(order.number));
both.on("said", ({ by }) => shown.push(by));

// What takes a client takes one of a topic.
eachPaint(both, (events) => shown.push(...events.flatMap(({ name, data }) => (name === "said" ? [data.text] : []))));
logTo(console, orders);
trace(orders, ({ text }) => shown.push(text));
defineDebugElement();
document.querySelector<TidingsDebugElement>("tidings-debug")!.client = orders;

// Current values.
const prices = createStore(subscribe("prices"), {
  initial: new Map<string, number>(),
  on: {
    price: (all, { pair, price }) => new Map(all).set(pair, price),
    delisted: (all, { pair }) => new Map([...all].filter(([other]) => other !== pair)),
  },
});
prices.subscribe((all) => shown.push(all.size));

// The frameworks: the address says what events there are.
const created = (orders: Order[], order: Order): Order[] => [...orders, order];
const options = { initial: [] as Order[], on: { created } };

export function OrderList(): number {
  const { state } = useTidings(url("orders"), {
    initial: [] as Order[],
    on: { created: (orders, order) => [...orders, order], all_closed: () => [] },
  });
  return state.reduce((sum, { lines }) => sum + lines.length, 0);
}
export const ordersInVue = (): number => useTidingsInVue(url("orders"), options).value.state.length;
tidings(url("orders"), options).subscribe(({ state }) => shown.push(state.length));

export async function all(): Promise<void> {
  for await (const event of orders) {
    if (event.name === "created") shown.push(event.data.number);
    if (event.name === "tidings:end") shown.push(event.data.reason);
  }
}

// Every event is handled.
type OrderEvents = TopicEvents<Topics, "orders">;
export const handlers: { [Name in keyof OrderEvents]: (data: OrderEvents[Name]) => void } = {
  created: (order) => shown.push(order.number),
  moved: ([from]) => shown.push(from),
  noted: (note) => shown.push(note ?? ""),
  shipped: ({ number, carrier }) => shown.push(number, carrier ?? ""),
  all_closed: () => {},
  "order.returned": ({ number }) => shown.push(number),
  changed: (change) => shown.push("removed" in change ? change.removed : change.replaced.new.number),
  counted: (counts) => shown.push(...Object.values(counts).map((count) => count ?? 0)),
  emptied: () => {},
};
