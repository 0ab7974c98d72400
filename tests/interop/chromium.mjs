// Chromium's EventSource. It reconnects.

import { launch } from "../browser/chromium.mjs";
import { print } from "./print.mjs";

const [url, ...names] = process.argv.slice(2);
const browser = await launch();
const end = () => browser.close().finally(() => process.exit());
process.on("SIGTERM", end);
const page = await browser.newPage();
await page.exposeFunction("print", print);
// A page of the same origin without a content security policy.
await page.goto(new URL("/healthz", url).href);
await page.evaluate(({ url, names }) => {
  // Calls into Node.js arrive in order.
  const source = new EventSource(url);
  for (const name of names) {
    source.addEventListener(name, ({ type, data, lastEventId }) => window.print(type, data, lastEventId));
  }
}, { url, names: ["message", "tidings:status", ...names] });
