// htmx with its extension for server-sent events, in Chromium. It makes a new EventSource, which knows no id, when one gives
// up: so `sse-close` names the event at the end.

import { page } from "./page.mjs";

await page((url) => `
  <script src="/npm/htmx.org/dist/htmx.js"></script>
  <script src="/npm/htmx-ext-sse/sse.js"></script>
  <div hx-ext="sse" sse-connect="${url}" sse-swap="message" sse-close="tidings:end"></div>`);
