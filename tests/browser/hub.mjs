// The example hub as a process of its own, which ends with the test that started it.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

import { defer } from "./cleanup.mjs";

const GREETING = /^Tidings hub on [\w-]+: open http:\/\/127\.0\.0\.1:(\d+)\/ in a browser$/;

// Whatever becomes of this process, no hub outlives it.
const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(1));

export class Hub {
  #child;

  /** Starts a hub on any free port. `t` is the test, or whatever has an `after`, that it is for. */
  static async start(t) {
    const hub = new Hub();
    defer(t, () => hub.kill());
    await hub.#run(0);
    return hub;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  async #run(port) {
    const program = process.env.TIDINGS_HUB;
    if (!program) throw new Error("TIDINGS_HUB: is not set; it is the path of an example hub, such as target/debug/hub-axum");
    const child = spawn(program, ["--listen", `127.0.0.1:${port}`], { stdio: ["ignore", "pipe", "inherit"] });
    this.#child = child;
    running.add(child);
    child.on("exit", () => running.delete(child));
    const failed = new Promise((_, reject) => {
      child.on("error", reject);
      child.on("exit", (code, signal) => reject(new Error(`${program} ended with ${signal ?? code}`)));
    });
    failed.catch(() => {});   // after the greeting its end is nobody's error
    const [line] = await Promise.race([once(createInterface(child.stdout), "line"), failed]);
    const greeting = GREETING.exec(line);
    if (!greeting) throw new Error(`${program} greets with ${JSON.stringify(line)}`);
    this.port = Number(greeting[1]);
  }

  /** SIGKILL: no goodbye to anybody. Resolves when the process is gone. */
  async kill() {
    const child = this.#child;
    if (!running.has(child)) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  }

  /** A new process on the port of the old one. */
  async restart() {
    await this.kill();
    await this.#run(this.port);
  }

  /** Publishes, and resolves to `{ id, subscribers }`. */
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
