// A hub and a browser for each test of a file.

import { after, before } from "node:test";

import { launch } from "./chromium.mjs";
import { defer } from "./cleanup.mjs";
import { Hub } from "./hub.mjs";

/** Starts one browser for the file. Returns a function that starts a hub and a new browser context for a test. */
export function hubAndBrowser({ timeout }) {
  let browser;
  before(async () => { browser = await launch(); }, { timeout });
  after(async () => { await browser?.close(); });
  return async (t) => {
    const hub = await Hub.start(t);
    const context = await browser.newContext();
    defer(t, () => context.close());
    return { hub, browser, context };
  };
}
