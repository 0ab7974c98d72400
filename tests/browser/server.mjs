// A program of the workspace as a process that ends with the test.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

import { defer } from "./cleanup.mjs";

// No server outlives this process.
const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(1));

export class Server {
  #child;
  #flags;

  /** The environment variable that names the program, and its greeting with the port. */
  static variable;
  static greeting;

  static get program() {
    const program = process.env[this.variable];
    if (!program) throw new Error(`${this.variable}: is not set; it is the path of a program, see ../tests/browser.rs`);
    return program;
  }

  /** How it is told where to listen. */
  static listenOn(address) {
    return ["--listen", address];
  }

  /** Starts a server on any free port. `t` is its test, or anything with `after`. */
  static async start(t, flags = []) {
    const server = new this();
    defer(t, () => server.kill());
    server.#flags = flags;
    await server.#run(0);
    return server;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  async #run(port) {
    const { program, greeting } = this.constructor;
    const flags = [...this.constructor.listenOn(`127.0.0.1:${port}`), ...this.#flags];
    const child = spawn(program, flags, { stdio: ["ignore", "pipe", "inherit"] });
    this.#child = child;
    running.add(child);
    child.on("exit", () => running.delete(child));
    const failed = new Promise((_, reject) => {
      child.on("error", reject);
      child.on("exit", (code, signal) => reject(new Error(`${program} ended with ${signal ?? code}`)));
    });
    failed.catch(() => {});   // its end after the greeting is no error
    const [line] = await Promise.race([once(createInterface(child.stdout), "line"), failed]);
    const found = greeting.exec(line);
    if (!found) throw new Error(`${program} greets with ${JSON.stringify(line)}`);
    this.port = Number(found[1]);
  }

  /** Sends SIGKILL, or another signal. Resolves when the process has ended. */
  async kill(signal = "SIGKILL") {
    const child = this.#child;
    if (!running.has(child)) return;
    const gone = once(child, "exit");
    child.kill(signal);
    await gone;
  }

  /** Starts a new process on the port of the old one. */
  async restart() {
    await this.kill();
    await this.#run(this.port);
  }
}
