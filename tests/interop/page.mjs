// A page of somebody else's library that follows the stream of the command line.

import { readFile } from "node:fs/promises";

import { launch } from "../browser/chromium.mjs";

/** Opens a page with this HTML, which finds what is installed from npm at `/npm/`. It stays open until SIGTERM. */
export async function page(html) {
  const url = process.argv[2];
  const browser = await launch();
  process.on("SIGTERM", () => browser.close().finally(() => process.exit()));
  const page = await browser.newPage();
  page.on("pageerror", (error) => console.error(error.message));
  await page.route("**/npm/**", async (route) => {
    const path = new URL(route.request().url()).pathname.replace("/npm/", "node_modules/");
    const read = (ending) => readFile(new URL(path + ending, import.meta.url), "utf8");
    // Some packages leave the endings out.
    const body = await read("").catch(() => read(".js"));
    await route.fulfill({ contentType: "text/javascript", body });
  });
  // Of the same origin as the stream.
  const { origin, href } = new URL("/page", url);
  await page.route(href, (route) => route.fulfill({ contentType: "text/html", body: `<!doctype html>${html(url)}` }));
  await page.goto(`${origin}/page`);
}
