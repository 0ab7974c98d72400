// `@microsoft/fetch-event-source` of npm. It reconnects after an error, and after an orderly end
// when `onclose` throws, as its documentation shows.

import { fetchEventSource } from "@microsoft/fetch-event-source";

import { print } from "./print.mjs";

// It is made for browsers, and uses their timers.
globalThis.window = globalThis;

await fetchEventSource(process.argv[2], {
  fetch,
  openWhenHidden: true,   // nothing is hidden here
  onmessage: ({ event, data, id }) => print(event || "message", data, id),
  onclose() {
    throw new Error("the stream has ended; once more");
  },
});
