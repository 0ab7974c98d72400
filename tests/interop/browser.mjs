// The EventSource of a browser. It reconnects.

import { launch } from "./launch.mjs";
import { print } from "./print.mjs";

const [url, ...names] = process.argv.slice(2);
const browser = await launch();
process.on("SIGTERM", () => browser.close().finally(() => process.exit()));
const page = await browser.newPage();
// A page of the same origin without a content security policy.
await page.goto(new URL("/healthz", url).href);
await page.evaluate(({ url, names }) => {
  const source = new EventSource(url);
  window.events = [];
  window.arrived = () => {};
  for (const name of names) {
    source.addEventListener(name, ({ type, data, lastEventId }) => {
      window.events.push([type, data, lastEventId]);
      window.arrived();
    });
  }
}, { url, names: ["message", "tidings:status", ...names] });
for (;;) {
  const events = await page.evaluate(async () => {
    if (window.events.length === 0) await new Promise((resolve) => { window.arrived = resolve; });
    return window.events.splice(0);
  });
  events.forEach((event) => print(...event));
}
