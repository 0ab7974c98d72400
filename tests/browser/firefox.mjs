// The installed Firefox, by Marionette: the protocol of its own WebDriver, JSON over TCP. So it needs no other program.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** Starts the browser that `FIREFOX` names. */
export async function launch() {
  const profile = await mkdtemp(join(tmpdir(), "tidings-firefox-"));
  // With Marionette, Firefox contacts nothing on its own account.
  await writeFile(join(profile, "user.js"), 'user_pref("marionette.port", 0);\n');
  const args = ["--headless", "--marionette", "--no-remote", "--profile", profile];
  const firefox = spawn(process.env.FIREFOX, args, { stdio: "ignore" });
  const ended = once(firefox, "exit");
  const close = async () => {
    firefox.kill();
    await ended;
    await rm(profile, { recursive: true, force: true, maxRetries: 10 });
  };
  const call = await connect(await port(firefox, profile));
  await call("WebDriver:NewSession", { capabilities: { alwaysMatch: { timeouts: { script: null } } } });
  /** As of Playwright. There is only one page. */
  const page = {
    goto: (url) => call("WebDriver:Navigate", { url }),
    evaluate: async (script, arg) => {
      const source = `const [arg, done] = arguments; Promise.resolve((${script})(arg)).then(done)`;
      return (await call("WebDriver:ExecuteAsyncScript", { script: source, args: [arg ?? null] })).value;
    },
  };
  return { newPage: async () => page, close };
}

/** Firefox writes where it listens into its profile. */
async function port(firefox, profile) {
  for (;;) {
    const text = await readFile(join(profile, "MarionetteActivePort"), "utf8").catch(() => "");
    if (text !== "") return Number(text);
    if (firefox.exitCode !== null) throw new Error(`firefox has ended: ${firefox.exitCode}`);
    await sleep(20);
  }
}

/** Returns a function that sends a command and resolves with its result. */
async function connect(port) {
  const socket = net.connect(port, "127.0.0.1");
  await once(socket, "connect");
  const waiting = new Map();
  let bytes = Buffer.alloc(0);
  socket.on("data", (more) => {
    // Each message is its length, a colon, and JSON.
    bytes = Buffer.concat([bytes, more]);
    for (let colon; (colon = bytes.indexOf(":")) > 0;) {
      const end = colon + 1 + Number(bytes.subarray(0, colon));
      if (bytes.length < end) return;
      const message = JSON.parse(bytes.subarray(colon + 1, end));
      bytes = bytes.subarray(end);
      // The first message says who it is, and has no number.
      if (Array.isArray(message)) waiting.get(message[1])(message);
    }
  });
  socket.on("error", () => {});   // the end of the browser
  return (command, parameters) => new Promise((resolve, reject) => {
    const number = waiting.size;
    waiting.set(number, ([, , error, result]) => error === null ? resolve(result) : reject(new Error(error.message)));
    const text = JSON.stringify([0, number, command, parameters]);
    socket.write(`${Buffer.byteLength(text)}:${text}`);
  });
}
