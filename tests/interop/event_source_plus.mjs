// `event-source-plus` of npm. It comes back by itself, always.

import { EventSourcePlus } from "event-source-plus";

import { print } from "./print.mjs";

new EventSourcePlus(process.argv[2]).listen({
  onMessage: ({ event, data, id }) => print(event, data, id ?? ""),
});
