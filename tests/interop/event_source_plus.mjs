// `event-source-plus` of npm. It always reconnects.

import { EventSourcePlus } from "event-source-plus";

import { print } from "./print.mjs";

new EventSourcePlus(process.argv[2]).listen({
  onMessage: ({ event, data, id }) => print(event, data, id ?? ""),
});
