// Makes the pictures of docs/images anew: the live page after a cut, the console, and an answer in the middle.
//
//   cargo build -p hub-axum -p llm-answer
//   (cd tests/browser && npm ci && TIDINGS_HUB=../../target/debug/hub-axum TIDINGS_LLM_ANSWER=../../target/debug/llm-answer node screenshot.mjs)
//
// It uses the fonts of the system; with Inter (Debian: fonts-inter), they are the pictures in the repository.

import { mkdir, stat } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { launch } from "./chromium.mjs";
import { Hub } from "./hub.mjs";
import { Answers } from "../llm/answers.mjs";

const folder = fileURLToPath(new URL("../../docs/images", import.meta.url));
const HISTORY_MS = 30_000;   // fills the charts
const AFTER_CUT_MS = 4_000;
const TOKEN = "for-the-picture";

const undo = [];
try {
  const t = { after: (fn) => undo.push(fn) };
  const hub = await Hub.startWithToken(t, TOKEN);
  const answers = await Answers.start(t, { isSlow: true });
  const browser = await launch();
  undo.push(() => browser.close());
  const newPage = (viewport = { width: 1440, height: 900 }) => browser.newPage({ viewport, deviceScaleFactor: 1, colorScheme: process.argv[2] ?? "light" });
  const picture = async (page, name) => {
    const path = `${folder}/${name}.png`;
    await mkdir(folder, { recursive: true });
    await page.mouse.move(0, 0);
    await page.screenshot({ path });
    console.log(`${path}: ${(await stat(path)).size} bytes`);
  };

  const operator = await newPage();
  await operator.goto(`${hub.url}/console`);
  await operator.getByLabel("Token").fill(TOKEN);
  await operator.keyboard.press("Enter");
  await operator.locator('#state[data-state="live"]').waitFor();
  const page = await newPage();
  await page.goto(`${hub.url}/#token=${TOKEN}`);
  await setTimeout(HISTORY_MS);
  await page.locator('#cut[aria-disabled="false"]').click();
  await page.locator("#outcome", { hasText: /^Away for/ }).waitFor();
  await setTimeout(AFTER_CUT_MS);
  await picture(page, "live-page");
  await operator.bringToFront();
  await picture(operator, "console");

  const answer = await newPage({ width: 960, height: 720 });
  await answer.goto(answers.url);
  await answer.getByRole("button", { name: "Ask" }).click();
  await answer.waitForFunction(() => document.querySelector("#tokens").textContent === "77 tokens");
  await picture(answer, "llm-answer");
} finally {
  for (const fn of undo.reverse()) await fn();
}
