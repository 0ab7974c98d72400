// Datastar, in Chromium. For it, an orderly end is the end.

import { page } from "./page.mjs";

await page((url) => `
  <script type="module" src="/datastar.js"></script>
  <div data-init="@get('${url}')"></div>`);
