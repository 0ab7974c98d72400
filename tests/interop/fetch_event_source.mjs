// `@microsoft/fetch-event-source` of npm. It comes back by itself after an error. After an orderly
// end, it does when `onclose` throws, as its documentation shows.

import { fetchEventSource } from "@microsoft/fetch-event-source";

import { print } from "./print.mjs";

// It is made for browsers, and takes its timers from there.
globalThis.window = globalThis;

await fetchEventSource(process.argv[2], {
  fetch,
  openWhenHidden: true,   // nothing is ever hidden here
  onmessage: ({ event, data, id }) => print(event || "message", data, id),
  onclose() {
    throw new Error("the stream has ended; once more");
  },
});
