// Makes the pictures of the small examples in docs/images anew, or in the folder of the second argument; or only those
// of the examples that follow.
//
//   cargo build -p dashboard -p ticker …
//   (cd tests/examples && npm ci && TIDINGS_EXAMPLES=../../target/debug DATASTAR=datastar-core.js node screenshots.mjs light)
//
// DATASTAR is Datastar's script from ../datastar/requirements.txt, which the tests install in target/tmp/datastar.
// It uses the fonts of the system; with Inter (Debian: fonts-inter), they are the pictures in the repository.

import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { launch } from "../browser/chromium.mjs";
import { serveInstalled, start } from "./example.mjs";

const FOLDER = fileURLToPath(new URL("../../docs/images", import.meta.url));
const [colorScheme = "light", folder = FOLDER, ...only] = process.argv.slice(2);

const press = (page, name) => page.getByRole("button", { name, exact: true }).click();

/** What is done in each page before its picture. */
const PAGES = {
  dashboard: async (page) => {
    for (let second = 0; second < 40; second++) {
      await press(page, second % 9 === 5 ? "Some that fail" : "Send requests");
      await setTimeout(1_000);
    }
  },
  ticker: () => setTimeout(12_000),
  sensors: () => setTimeout(12_000),
  news: async (page) => {
    for (const [headline, section] of [
      ["Lighthouse keeper retires after forty years", "Local"],
      ["Tide tables now have a second high water", "Science"],
      ["Harbour reopens after the storm", "Local"],
      ["Ferry race ends in a draw", "Sport"],
    ]) {
      await page.getByLabel("Headline").fill(headline);
      await page.getByLabel("Section").selectOption(section);
      await press(page, "Publish");
      await page.locator("li", { hasText: headline }).waitFor();
    }
    await setTimeout(1_000);
  },
  notifications: async (page) => {
    await page.getByLabel("User").fill("ada");
    await page.getByLabel("Password").fill("engine");
    await press(page, "Log in");
    for (const text of ["The build is green", "Your export is ready", "Somebody has read your draft", "Backup is done"]) {
      await page.getByLabel("Text").fill(text);
      await press(page, "Notify");
      await page.locator("li", { hasText: text }).waitFor();
      if (text === "Your export is ready") await press(page, "Mark all as read");
    }
  },
  "file-import": async (page) => {
    // A line that is slow enough to be seen.
    const session = await page.context().newCDPSession(page);
    await session.send("Network.enable");
    await session.send("Network.emulateNetworkConditions", { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: 60_000 });
    await page.getByLabel("File").setInputFiles({ name: "members.csv", mimeType: "text/csv", buffer: Buffer.from("Ada Lovelace;12.50\n".repeat(20_000)) });
    await press(page, "Import");
    await page.waitForFunction(() => document.querySelector("progress").value > 0.6);
  },
  collaboration: async (page, url) => {
    const other = await page.context().newPage();
    await other.goto(`${url}?user=grace`);
    await page.getByPlaceholder("Paragraph 1").fill("A stream is a promise: what happens is told, in order, once.");
    await page.getByPlaceholder("Paragraph 2").fill("Who comes late is told what still counts.");
    await page.getByPlaceholder("Paragraph 4").focus();
    await page.locator("small", { hasText: "ada has written" }).nth(1).waitFor();
    // Until the page is closed.
    other.getByPlaceholder("Paragraph 3").pressSequentially("And who was away, what was missed.", { delay: 100 }).catch(() => {});
    await page.locator("small", { hasText: "is writing" }).waitFor();
  },
  htmx: async (page) => {
    for (const dish of ["Soup of the day", "Fish & chips", "Rhubarb crumble", "Coffee"]) {
      await page.getByLabel("Dish").fill(dish);
      await press(page, "Order");
      await page.locator("li", { hasText: dish }).waitFor();
    }
  },
  datastar: async (page) => {
    for (const [choice, count] of [["Coffee", 7], ["Tea", 9], ["Water", 3]]) {
      // A request ends the one before it of the same button.
      for (let n = 1; n <= count; n++) {
        await press(page, choice);
        await page.locator("li", { hasText: `${choice.toLowerCase()} ${n}` }).waitFor();
      }
    }
  },
};

const undo = [];
const t = { after: (fn) => undo.push(fn) };
try {
  const browser = await launch();
  undo.push(() => browser.close());
  for (const [name, prepare] of Object.entries(PAGES)) {
    if (only.length > 0 && !only.includes(name)) continue;
    const server = await start(t, name);
    const context = await browser.newContext({ viewport: { width: 860, height: 320 }, colorScheme });
    await context.route("https://cdn.jsdelivr.net/**", serveInstalled);
    const page = await context.newPage();
    const url = `${server.url}/`;
    await page.goto(name === "collaboration" ? `${url}?user=ada` : url);
    await prepare(page, url);
    await page.mouse.move(0, 0);
    await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
    console.log(`${folder}/${name}.png`);
    await context.close();
  }
} finally {
  for (const fn of undo.reverse()) await fn();
}
