// Datastar, in Chromium. For it, an orderly end is the end.

import { page } from "./page.mjs";

const dist = "/npm/@starfederation/datastar/dist/";

await page((url) => `
  <script type="importmap">{ "imports": { "~/": "${dist}", "~/engine": "${dist}engine/index.js" } }</script>
  <script type="module" src="${dist}bundles/datastar.js"></script>
  <div data-on-load="sse('${url}')"></div>`);
