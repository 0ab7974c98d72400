// The events of the example datastar are those that Datastar's own SDK sends, as it is installed from npm, and Datastar's script
// for pages does what they say.

import assert from "node:assert/strict";
import { test } from "node:test";

import { ServerSentEventGenerator } from "@starfederation/datastar-sdk/src/web/serverSentEventGenerator.js";

import { pages, start, timeout } from "./example.mjs";

const open = pages();

/** All ways to choose a value, or none, for each option. */
const choices = (options) =>
  Object.entries(options).reduce(
    (all, [name, values]) => all.flatMap((one) => [one, ...values.map((value) => ({ ...one, [name]: value }))]),
    [{}],
  );

const SENT = { eventId: ["event 1"], retryDuration: [1_000, 2_000] };
const MODES = ["outer", "inner", "replace", "prepend", "append", "before", "after", "remove"];

/** Lists of events: what `/test` is asked, and what the SDK does. */
const cases = [
  ...["<p id=\"a\">1</p>", "<ul id=\"a\">\n  <li>2</li>\n</ul>"].flatMap((elements) =>
    choices({ mode: MODES, selector: ["#a, .b"], useViewTransition: [false, true], ...SENT }).map((options) => [
      { type: "patchElements", elements, ...options },
      // It leaves elements that are removed by a selector as they are.
      (sdk) => sdk.patchElements(elements, options),
    ])),
  ...choices(SENT).map((options) => [
    { type: "patchElements", mode: "remove", selector: "#a", ...options },
    (sdk) => sdk.removeElements("#a", undefined, options),
  ]),
  ...[{ a: 1, b: { c: "two\nlines" } }, { a: null, b: { c: null } }].flatMap((signals) =>
    choices({ onlyIfMissing: [false, true], ...SENT }).map((options) => [
      { type: "patchSignals", signals, ...options },
      (sdk) => sdk.patchSignals(JSON.stringify(signals), options),
    ])),
  [
    { type: "patchSignals", "signals-raw": '{\n"a":\n  1}' },
    (sdk) => sdk.patchSignals('{\n"a":\n  1}'),
  ],
  ...["a()", "if (a) {\n  b();\n}"].flatMap((script) =>
    choices({ autoRemove: [false, true], attributes: [{ type: "module", blocking: "false" }], ...SENT }).map((options) => [
      { type: "executeScript", script, ...options },
      (sdk) => sdk.executeScript(script, options),
    ])),
];

/** The events of a stream, with their fields in any order, and their lines of data in that of their kinds. */
function parse(text) {
  const kind = (line) => line.split(" ")[1];
  const events = text.split("\n\n").filter((event) => event !== "" && event !== ":");
  return events.map((event) => {
    const lines = event.split("\n");
    const data = lines.filter((line) => line.startsWith("data: ")).sort((one, other) => kind(one).localeCompare(kind(other)));
    return [...lines.filter((line) => !line.startsWith("data: ")).sort(), ...data];
  });
}

test("its events are those of Datastar's SDK", { timeout }, async (t) => {
  const { url } = await start(t, "datastar");
  const answers = [
    (signals) => fetch(`${url}/test?${new URLSearchParams({ datastar: signals })}`),
    ...["POST", "PUT", "PATCH", "DELETE"].map((method) => (signals) => fetch(`${url}/test`, { method, body: signals })),
  ];
  const check = async (of, answer) => {
    const response = await answer(JSON.stringify({ events: of.map(([event]) => event) }));
    assert.match(response.headers.get("content-type"), /^text\/event-stream/);
    const sent = ServerSentEventGenerator.stream((sdk) => of.forEach(([, send]) => send(sdk)));
    assert.deepEqual(parse(await response.text()), parse(await sent.text()));
  };
  assert.ok(cases.length > 600, `${cases.length} cases`);
  for (let at = 0; at < cases.length; at += 20) await check(cases.slice(at, at + 20), answers[0]);
  for (const answer of answers) await check(cases.filter((_, n) => n % 50 === 0), answer);
});

test("Datastar's script does what its events say", { timeout }, async (t) => {
  const { url } = await start(t, "datastar");
  const page = await open(t, url);
  const patch = (elements, options) => ({ type: "patchElements", elements, ...options });
  const events = [
    patch('<section id="all">\n  <p id="a">old</p>\n</section>', { selector: "body", mode: "append" }),
    patch('<p id="a">a</p>'),
    patch("<p>before</p>", { selector: "#a", mode: "before" }),
    patch("<p>first</p>", { selector: "#all", mode: "prepend" }),
    patch('<p id="b"></p>', { selector: "#a", mode: "after" }),
    patch("<b>b</b>", { selector: "#b", mode: "inner" }),
    patch('<p id="d">d</p>', { selector: "#all", mode: "append" }),
    patch('<p id="c">c</p>', { selector: "#all", mode: "append" }),
    patch("", { selector: "#c", mode: "remove" }),
    // Browsers do this later.
    patch('<p id="e">e</p>', { selector: "#d", mode: "replace", useViewTransition: true }),
    { type: "patchSignals", signals: { text: "two\nlines", other: 1 } },
    { type: "patchSignals", signals: { text: "missing", more: 2 }, onlyIfMissing: true },
    { type: "patchSignals", "signals-raw": '{\n"other":\nnull}' },
    { type: "executeScript", script: "document.title =\n  document.currentScript.dataset.x", attributes: { "data-x": '"title"' } },
  ];
  await page.evaluate((events) => {
    const button = Object.assign(document.createElement("button"), { textContent: "Ask" });
    button.setAttribute("data-on:click", `@post('/test', {payload: ${JSON.stringify({ events })}})`);
    const signals = document.createElement("pre");
    signals.setAttribute("data-json-signals", "");
    document.body.append(button, signals);
  }, events);
  // Shown when Datastar has looked at what is new.
  await page.locator("pre", { hasText: "{" }).waitFor();
  await page.getByRole("button", { name: "Ask" }).click();
  await page.waitForFunction(() => document.title === '"title"');
  await page.locator("#e").waitFor();
  assert.deepEqual(await page.locator("#all > p").allInnerTexts(), ["first", "before", "a", "b", "e"]);
  assert.deepEqual(JSON.parse(await page.locator("pre").innerText()), { text: "two\nlines", more: 2 });
  assert.equal(await page.locator("body > script").count(), 0);
});
