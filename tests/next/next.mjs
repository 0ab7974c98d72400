// The application that `build.mjs` has built, as `next start` serves it.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { defer } from "../browser/cleanup.mjs";

const PROGRAM = fileURLToPath(new URL("node_modules/next/dist/bin/next", import.meta.url));
const FOLDER = fileURLToPath(new URL(".build", import.meta.url));

export const timeout = 120_000;
/** What a test waits for comes sooner, and without a hub's heartbeat, which comes after 15 seconds. */
export const LIMIT_MS = 10_000;

export class Next {
  url;
  /** The lines that it has printed. */
  log = [];

  /** Starts it on any free port, in front of a hub. */
  static async start(t, hub) {
    const next = new this();
    const child = spawn(process.execPath, [PROGRAM, "start", FOLDER, "--hostname", "127.0.0.1", "--port", "0"], {
      env: { ...process.env, HUB_URL: hub.url, NEXT_TELEMETRY_DISABLED: "1", NO_COLOR: "1" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const kill = () => child.kill("SIGKILL");
    process.once("exit", kill);
    const ended = once(child, "exit");
    defer(t, async () => {
      process.off("exit", kill);
      kill();
      await ended;
    });
    const greeted = new Promise((resolve) => {
      for (const output of [child.stdout, child.stderr]) {
        createInterface(output).on("line", (line) => {
          next.log.push(line);
          const found = /Local: +(http:\S+)/.exec(line);
          if (found) next.url = found[1];
          if (line.includes("Ready in")) resolve();
        });
      }
    });
    await Promise.race([greeted, ended]);
    if (!next.url) throw new Error(`Next has ended: ${next.log.join("\n")}`);
    return next;
  }

  get errors() {
    return this.log.filter((line) => /error/i.test(line));
  }
}

/** Resolves when the hub has this many clients. */
export async function untilClients(hub, count) {
  const end = performance.now() + LIMIT_MS;
  for (;;) {
    const { total } = await hub.clients();
    if (total === count) return;
    if (performance.now() > end) throw new Error(`the hub has ${total} clients, and not ${count}`);
  }
}

/** Publishes `{"n":first}`, … `{"n":last}`. */
export async function publish(hub, topic, first, last) {
  for (let n = first; n <= last; n++) await hub.publish(topic, JSON.stringify({ n }), "tick");
}
