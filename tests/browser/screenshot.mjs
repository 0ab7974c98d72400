// Makes docs/images/live-page.png anew: the live page after a cut.
//
//   cargo build -p hub-axum
//   (cd tests/browser && npm ci && TIDINGS_HUB=../../target/debug/hub-axum node screenshot.mjs)
//
// It uses the fonts of the system; with Inter (Debian: fonts-inter), it is the picture in the repository.

import { mkdir, stat } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { launch } from "./chromium.mjs";
import { Hub } from "./hub.mjs";

const path = fileURLToPath(new URL("../../docs/images/live-page.png", import.meta.url));
const HISTORY_MS = 30_000;   // fills the chart
const AFTER_CUT_MS = 4_000;

const undo = [];
try {
  const hub = await Hub.start({ after: (fn) => undo.push(fn) });
  await setTimeout(HISTORY_MS);
  const browser = await launch();
  undo.push(() => browser.close());
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 }, deviceScaleFactor: 1, colorScheme: process.argv[2] ?? "light" });
  await page.goto(hub.url);
  await page.locator('#cut[aria-disabled="false"]').click();
  await page.locator("#outcome", { hasText: /^Away for/ }).waitFor();
  await page.mouse.move(0, 0);
  await setTimeout(AFTER_CUT_MS);
  await mkdir(new URL(".", `file://${path}`), { recursive: true });
  await page.screenshot({ path });
  console.log(`${path}: ${(await stat(path)).size} bytes`);
} finally {
  for (const fn of undo.reverse()) await fn();
}
