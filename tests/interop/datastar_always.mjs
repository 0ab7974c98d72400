// Datastar, in Chromium, as one lets it come back after an orderly end.

import { page } from "./page.mjs";

await page((url) => `
  <script type="module" src="/datastar.js"></script>
  <div data-init="@get('${url}', { retry: 'always' })"></div>`);
