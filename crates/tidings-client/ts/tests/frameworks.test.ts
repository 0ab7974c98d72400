// @vitest-environment happy-dom
// React, Vue and Svelte, mounted in a page and rendered on a server.

import { act, createElement, StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { get } from "svelte/store";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createApp, createSSRApp, defineComponent, h } from "vue";
import { renderToString as renderVue } from "vue/server-renderer";
import { defineDebugElement } from "../debug.ts";
import type { TidingsDebugElement } from "../debug.ts";
import { connect } from "../client.ts";
import { useTidings as useReact } from "../react.ts";
import { tidings } from "../svelte.ts";
import { useTidings as useVue } from "../vue.ts";
import { FakeServer } from "./fake_server.ts";

interface Orders {
  created: { number: number };
}

let server: FakeServer;
beforeEach(() => {
  server = new FakeServer();
  vi.stubGlobal("IS_REACT_ACT_ENVIRONMENT", true);
});
afterEach(() => document.body.replaceChildren());

const options = (): { fetch: typeof fetch; initial: number[]; on: { created: (all: number[], order: Orders["created"]) => number[] } } => ({
  fetch: server.fetch, initial: [], on: { created: (all, { number }) => [...all, number] },
});
const created = (number: number, id: string): string => `event: created\ndata: {"number":${number}}\nid: ${id}\n\n`;
const root = (): HTMLElement => document.body.appendChild(document.createElement("main"));
/** Resolves when a frame has been painted. */
const painted = (): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, 40));

describe("React", () => {
  const List = (): ReturnType<typeof createElement> => {
    const { state, connection } = useReact<number[], Orders>("/orders", options());
    return createElement("p", null, `${connection}: ${state.join()}`);
  };

  test("shows the state, is open while it is mounted, and lives in strict mode", async () => {
    const main = root();
    const react = createRoot(main);
    await act(async () => react.render(createElement(StrictMode, null, createElement(List))));
    await vi.waitFor(() => expect(server.answers).toHaveLength(1));
    await act(async () => {
      server.last.begin();
      server.last.send(created(7, "e-2"));
      await painted();
    });
    expect(main.textContent).toBe("open: 7");
    await act(async () => react.unmount());
    expect(server.last.isAborted).toBe(true);
    expect(server.answers).toHaveLength(1);
  });

  test("renders the initial state on a server, and opens nothing", async () => {
    expect(renderToString(createElement(List))).toBe("<p>connecting: </p>");
    await painted();
    expect(server.fetch).not.toHaveBeenCalled();
  });
});

describe("Vue", () => {
  const List = defineComponent({
    setup() {
      const orders = useVue<number[], Orders>("/orders", options());
      return () => h("p", `${orders.value.connection}: ${orders.value.state.join()}`);
    },
  });

  test("shows the state, and is open while it is mounted", async () => {
    const main = root();
    const app = createApp(List);
    app.mount(main);
    await vi.waitFor(() => expect(server.answers).toHaveLength(1));
    server.last.begin();
    server.last.send(created(7, "e-2"));
    await vi.waitFor(() => expect(main.textContent).toBe("open: 7"));
    app.unmount();
    expect(server.last.isAborted).toBe(true);
  });

  test("renders the initial state on a server, and opens nothing", async () => {
    expect(await renderVue(createSSRApp(List))).toBe("<p>connecting: </p>");
    await painted();
    expect(server.fetch).not.toHaveBeenCalled();
  });
});

describe("Svelte", () => {
  test("has a store that is open while it has subscribers, and goes on where it was", async () => {
    const orders = tidings<number[], Orders>("/orders", options());
    let seen = "";
    const show = ({ connection, state }: { connection: string; state: number[] }): void => { seen = `${connection}: ${state.join()}`; };
    let stop = orders.subscribe(show);
    expect(seen).toBe("connecting: ");
    await vi.waitFor(() => expect(server.answers).toHaveLength(1));
    server.last.begin();
    server.last.send(created(7, "e-2"));
    await vi.waitFor(() => expect(seen).toBe("open: 7"));
    stop();
    expect(server.last.isAborted).toBe(true);
    stop = orders.subscribe(show);
    expect(seen).toBe("connecting: 7");
    await vi.waitFor(() => expect(server.answers).toHaveLength(2));
    expect(server.last.lastEventId).toBe("e-2");
    server.last.begin("e-2", { status: "resumed", client: "c" });
    server.last.send(created(8, "e-3"));
    await vi.waitFor(() => expect(seen).toBe("open: 7,8"));
    server.last.status({ status: "reset", reason: "trimmed", client: "c" }, "e-9");
    await vi.waitFor(() => expect(seen).toBe("open: "));
    stop();
  });

  test("renders the initial state on a server, and opens nothing", async () => {
    expect(get(tidings<number[], Orders>("/orders", options())).state).toEqual([]);
    await painted();
    expect(server.fetch).not.toHaveBeenCalled();
  });
});

describe("<tidings-debug>", () => {
  test("shows events with their ids, connections, resets, and what is out of order", async () => {
    defineDebugElement();
    defineDebugElement();
    const panel = document.createElement("tidings-debug") as TidingsDebugElement;
    const client = connect("/orders", { fetch: server.fetch });
    panel.client = client;
    root().append(panel);
    await vi.waitFor(() => expect(server.answers).toHaveLength(1));
    server.last.begin("e-1");
    server.last.send(created(7, "e-3") + created(8, "e-2"));
    const shown = (): string => panel.shadowRoot?.querySelector("header")?.textContent ?? "";
    await vi.waitFor(() => expect(shown()).toBe("open · e-2 · 2 events, 1 statuses, 0 resets, 1 out of order"));
    const lines = [...(panel.shadowRoot?.querySelectorAll("li") ?? [])].map((line) => line.textContent?.slice(14));
    expect(lines).toEqual([
      "disorder  after e-3 came e-2",
      'event   e-2  created {"number":8}',
      'event   e-3  created {"number":7}',
      'status  e-1  {"status":"fresh","client":"c"}',
      "state   open",
    ]);
    panel.remove();
    server.last.send(created(9, "e-4"));
    await painted();
    expect(shown()).toContain("2 events");
    client.close();
  });
});
