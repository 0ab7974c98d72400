// The example hub.

import { Server } from "./server.mjs";

export class Hub extends Server {
  static variable = "TIDINGS_HUB";
  static greeting = /^Tidings hub on [\w-]+: open http:\/\/127\.0\.0\.1:(\d+)\/ in a browser$/;

  /** Publishes an event. Resolves to `{ id, subscribers }`. */
  async publish(topic, data, event) {
    const query = new URLSearchParams({ topic, ...(event === undefined ? {} : { event }) });
    const answer = await fetch(`${this.url}/publish?${query}`, { method: "POST", body: data });
    if (!answer.ok) throw new Error(`publishing: ${answer.status}: ${await answer.text()}`);
    return answer.json();
  }

  /** Ends the stream of the client that a status event named. */
  async cut(client) {
    const answer = await fetch(`${this.url}/clients/${client}`, { method: "DELETE" });
    if (answer.status !== 204) throw new Error(`cutting ${client}: ${answer.status}: ${await answer.text()}`);
  }

  async clients() {
    return (await fetch(`${this.url}/clients`)).json();
  }
}
