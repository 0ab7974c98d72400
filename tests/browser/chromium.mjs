// The installed Chromium.

import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

import { chromium } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const PLACES = [
  ...(process.env.PATH ?? "").split(delimiter).flatMap((folder) => NAMES.map((name) => join(folder, name))),
  "/usr/bin/chromium",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

function isProgram(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Starts the browser that `CHROMIUM` names, or the first that is found. */
export async function launch() {
  const executablePath = process.env.CHROMIUM || PLACES.find(isProgram);
  if (!executablePath) throw new Error("chromium is not installed; install it, or set CHROMIUM to its path");
  return chromium.launch({
    executablePath,
    // As in everybody's browser, a page that is left may live on.
    ignoreDefaultArgs: ["--disable-back-forward-cache"],
    // It must contact nothing but the hub.
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
}
