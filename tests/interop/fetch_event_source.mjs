// `@microsoft/fetch-event-source` of npm. It reconnects after an error, and after an orderly end
// when `onclose` throws, as its documentation shows. It takes 204 for an error, and so must not come back after the end.

import { fetchEventSource } from "@microsoft/fetch-event-source";

import { print } from "./print.mjs";

// It is made for browsers, and uses their timers, and their document at the end.
globalThis.window = globalThis;
globalThis.document = { removeEventListener() {} };

let isOver = false;
await fetchEventSource(process.argv[2], {
  fetch,
  openWhenHidden: true,   // nothing is hidden here
  onmessage({ event, data, id }) {
    if (event === "tidings:end") isOver = JSON.parse(data).reason === "finished";
    else print(event || "message", data, id);
  },
  onclose() {
    if (!isOver) throw new Error("the stream has ended; once more");
  },
});
