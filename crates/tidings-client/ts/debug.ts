import type { TidingsClient, Unsubscribe } from "./client.ts";
import type { EventMap } from "./event.ts";
import { hasPosition, isUpTo } from "./position.ts";

/** Something that a client has told. */
export interface TraceEntry {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly kind: "state" | "status" | "end" | "event" | "error" | "disorder";
  readonly text: string;
  /** Of an event with one. */
  readonly id?: string;
}

/** Tells everything that a client does. An event that does not come after the one before is `disorder`, a bug. */
export function trace<Events extends EventMap>(
  client: TidingsClient<Events>,
  tell: (entry: TraceEntry) => void,
): Unsubscribe {
  let last = "";
  const say = (kind: TraceEntry["kind"], text: string, id?: string): void => {
    tell({ at: Date.now(), kind, text, ...(id !== undefined && { id }) });
  };
  const stops = [
    client.onState((state, { delay, failures, error }) => {
      const wait = delay === undefined ? "" : ` for ${Math.round(delay)} ms, ${failures} failures`;
      say("state", `${state}${wait}${error ? `: ${error.message}` : ""}`);
    }),
    client.onError((error) => say("error", `${error.kind}: ${error.message}`)),
    client.onEvent(({ name, text, id }) => {
      if (name === "tidings:status") {
        last = id ?? "";
        return say("status", text, id);
      }
      if (name === "tidings:end") return say("end", text);
      say("event", `${name} ${text}`, id);
      if (id === undefined) return;
      if (hasPosition(last) && isUpTo(id, last)) say("disorder", `after ${last} came ${id}`);
      last = id;
    }),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}

/** Writes everything that a client does to the console. */
export function logTo<Events extends EventMap>(
  console: Pick<Console, "debug" | "warn">,
  client: TidingsClient<Events>,
): Unsubscribe {
  return trace(client, ({ kind, text, id }) => {
    const write = kind === "error" || kind === "disorder" ? console.warn : console.debug;
    write.call(console, `tidings ${kind}`, text, id ?? "");
  });
}

const STYLE = `
:host { display: block; font: 12px/1.5 ui-monospace, monospace; color-scheme: light dark; border: 1px solid #8888; max-height: 20em; overflow: auto }
header { position: sticky; top: 0; padding: 4px 8px; background: Canvas; border-bottom: 1px solid #8888 }
ol { margin: 0; padding: 0; list-style: none }
li { padding: 0 8px; white-space: pre; overflow: hidden; text-overflow: ellipsis }
li[data-kind=error], li[data-kind=disorder] { color: light-dark(#b00020, #ff8a80) }
li[data-kind=state], li[data-kind=status], li[data-kind=end] { color: light-dark(#00629b, #7cc4ff) }`;

/** A client of any events. */
type AnyClient = TidingsClient<any>;

/** What the element is like. */
export interface TidingsDebugElement extends HTMLElement {
  /** The client that it shows. */
  client: AnyClient | undefined;
}

/**
 * Defines `<tidings-debug>`, a panel that shows what its `client` does: each event with its id, connections, resets. On a server,
 * nothing.
 */
export function defineDebugElement(name = "tidings-debug"): void {
  const { customElements, HTMLElement } = globalThis as Partial<typeof globalThis>;
  if (!customElements || !HTMLElement || customElements.get(name)) return;
  customElements.define(name, class extends HTMLElement implements TidingsDebugElement {
    readonly #header = document.createElement("header");
    readonly #list = document.createElement("ol");
    #client: AnyClient | undefined;
    #stop: Unsubscribe | undefined;
    #counts = { events: 0, connections: 0, resets: 0, disorder: 0 };

    constructor() {
      super();
      const style = document.createElement("style");
      style.textContent = STYLE;
      this.attachShadow({ mode: "open" }).append(style, this.#header, this.#list);
    }

    get client(): AnyClient | undefined {
      return this.#client;
    }

    set client(client: AnyClient | undefined) {
      this.#client = client;
      this.#counts = { events: 0, connections: 0, resets: 0, disorder: 0 };
      this.#list.replaceChildren();
      this.#watch();
    }

    connectedCallback(): void {
      this.#watch();
    }

    disconnectedCallback(): void {
      this.#stop?.();
    }

    #watch(): void {
      this.#stop?.();
      if (!this.#client || !this.isConnected) return;
      this.#stop = trace(this.#client, (entry) => this.#show(entry));
      this.#summarize();
    }

    #show({ at, kind, text, id }: TraceEntry): void {
      if (kind === "event") this.#counts.events += 1;
      if (kind === "status") this.#counts.connections += 1;
      if (kind === "status" && /"status":"reset"/.test(text)) this.#counts.resets += 1;
      if (kind === "disorder") this.#counts.disorder += 1;
      const line = document.createElement("li");
      line.dataset["kind"] = kind;
      line.textContent = `${new Date(at).toISOString().slice(11, 23)}  ${kind.padEnd(6)}  ${id ? `${id}  ` : ""}${text.slice(0, 500)}`;
      this.#list.prepend(line);
      while (this.#list.childElementCount > 200) this.#list.lastElementChild?.remove();
      this.#summarize();
    }

    #summarize(): void {
      const { events, connections, resets, disorder } = this.#counts;
      const state = this.#client?.state ?? "";
      this.#header.textContent =
        `${state} · ${this.#client?.lastEventId || "no id"} · ${events} events, ${connections} statuses, ${resets} resets, ${disorder} out of order`;
    }
  });
}
