// `eventsource` of npm: the EventSource of browsers for Node.js. It reconnects.

import { EventSource } from "eventsource";

import { print } from "./print.mjs";

const [url, ...names] = process.argv.slice(2);
const source = new EventSource(url);
for (const name of ["message", "tidings:status", ...names]) {
  source.addEventListener(name, ({ type, data, lastEventId }) => print(type, data, lastEventId));
}
