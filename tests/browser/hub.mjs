// The example hub.

import { Server } from "./server.mjs";

export class Hub extends Server {
  static variable = "TIDINGS_HUB";
  static greeting = /^Tidings hub on [\w-]+: open http:\/\/127\.0\.0\.1:(\d+)\/ in a browser$/;

  /** What it asks for, if it was started with `--token`. */
  token;

  get #headers() {
    return this.token ? { authorization: `Bearer ${this.token}` } : {};
  }

  /** Starts a hub with a token. */
  static async startWithToken(t, token, flags = []) {
    const hub = await this.start(t, ["--token", token, ...flags]);
    hub.token = token;
    return hub;
  }

  /** Publishes an event. Resolves to `{ id, subscribers }`. */
  async publish(topic, data, event) {
    const query = new URLSearchParams({ topic, ...(event === undefined ? {} : { event }) });
    const answer = await fetch(`${this.url}/publish?${query}`, { method: "POST", headers: this.#headers, body: data });
    if (!answer.ok) throw new Error(`publishing: ${answer.status}: ${await answer.text()}`);
    return answer.json();
  }

  /** Publishes the last event of a topic. */
  async finish(topic, data) {
    const answer = await fetch(`${this.url}/finish?topic=${topic}`, { method: "POST", headers: this.#headers, body: data });
    if (!answer.ok) throw new Error(`finishing: ${answer.status}: ${await answer.text()}`);
  }

  /** Ends the stream of the client that a status event named. */
  async cut(client) {
    const answer = await fetch(`${this.url}/clients/${client}`, { method: "DELETE", headers: this.#headers });
    if (answer.status !== 204) throw new Error(`cutting ${client}: ${answer.status}: ${await answer.text()}`);
  }

  async clients() {
    return (await fetch(`${this.url}/clients`, { headers: this.#headers })).json();
  }
}
