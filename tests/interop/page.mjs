// A page of somebody else's library that follows the stream of the command line.

import { readFile } from "node:fs/promises";

import { launch } from "../browser/chromium.mjs";

/** Opens a page with this HTML, which finds what is installed from npm at `/npm/`, and Datastar. It stays open until SIGTERM. */
export async function page(html) {
  const url = process.argv[2];
  const browser = await launch();
  process.on("SIGTERM", () => browser.close().finally(() => process.exit()));
  const page = await browser.newPage();
  page.on("pageerror", (error) => console.error(error.message));
  const serve = async (route, file) => route.fulfill({ contentType: "text/javascript", body: await readFile(file, "utf8") });
  await page.route("**/npm/**", (route) => {
    const path = new URL(route.request().url()).pathname.replace("/npm/", "node_modules/");
    return serve(route, new URL(path, import.meta.url));
  });
  await page.route("**/datastar.js", (route) => serve(route, process.env.DATASTAR));
  // Of the same origin as the stream.
  const { origin, href } = new URL("/page", url);
  await page.route(href, (route) => route.fulfill({ contentType: "text/html", body: `<!doctype html>${html(url)}` }));
  await page.goto(`${origin}/page`);
}
