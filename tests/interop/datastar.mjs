// Datastar, in Chromium. For it, an orderly end is the end.

import { page } from "./page.mjs";

await page((url) => `
  <script type="importmap">{ "imports": { "~/": "/npm/@starfederation/datastar/dist/" } }</script>
  <script type="module" src="/npm/@starfederation/datastar/dist/bundles/datastar.js"></script>
  <div data-on-load="sse('${url}')"></div>`);
