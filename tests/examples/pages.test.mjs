// The pages of the small examples.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { Proxy } from "../browser/proxy.mjs";
import { pages, start, timeout } from "./example.mjs";

const open = pages();

const texts = (page, selector) => page.locator(selector).allInnerTexts();
/** Resolves when the texts of these elements are as expected. */
const shows = (page, selector, expected) =>
  page.waitForFunction(
    ([selector, expected]) => JSON.stringify([...document.querySelectorAll(selector)].map((it) => it.textContent.trim())) === expected,
    [selector, JSON.stringify(expected)],
  );

describe("the page", { concurrency: 2 }, () => {
  test("of htmx shows orders in all tabs, and after a cut", { timeout }, async (t) => {
    const server = await start(t, "htmx");
    let cut = { after: 1_500, how: "end" };
    const proxy = await Proxy.start(t, server, { retryMs: 5, cut: () => { const now = cut; cut = undefined; return now; } });
    const [one, two] = [await open(t, server.url, { provoked: [/413/] }), await open(t, proxy.url, { provoked: [/ERR_INCOMPLETE_CHUNKED_ENCODING/, /\[object Event\] at .*\/htmx\.js/] })];
    const dishes = Array.from({ length: 6 }, (_, n) => `dish ${n} <i>`);
    for (const dish of dishes) {
      await one.getByLabel("Dish").fill(dish);
      await one.getByRole("button", { name: "Order" }).click();
      await one.locator("li", { hasText: dish }).waitFor();
      assert.equal(await one.getByLabel("Dish").inputValue(), "");
    }
    await proxy.untilCut(1);
    await two.locator("li", { hasText: dishes[5] }).waitFor();
    assert.equal(await two.locator("li").count(), dishes.length);
    await two.getByRole("button", { name: "Served" }).first().click();
    await one.locator("li", { hasText: dishes[0] }).waitFor({ state: "detached" });
    assert.equal(await one.locator("li").count(), dishes.length - 1);
    // What is refused is still in the field.
    await one.getByLabel("Dish").fill("x".repeat(2_000));
    await one.getByRole("button", { name: "Order" }).click();
    await one.getByRole("alert").waitFor();
    assert.equal(await one.getByLabel("Dish").inputValue(), "x".repeat(2_000));
  });

  test("of Datastar shows the newest result, after a cut and after a restart", { timeout }, async (t) => {
    const server = await start(t, "datastar");
    const cuts = ["end", "reset"].map((how) => ({ after: 1_500, how }));
    const proxy = await Proxy.start(t, server, { retryMs: 5, cut: () => cuts.shift() });
    const provoked = [/^Datastar failed to reach/, /^(network error|Failed to fetch) at /, /ERR_(INCOMPLETE_CHUNKED_ENCODING|CONNECTION_RE|EMPTY_RESPONSE)/];
    const [one, two] = [await open(t, server.url, { provoked }), await open(t, proxy.url, { provoked })];
    for (const page of [one, two]) await shows(page, "#result b", ["0", "0", "0"]);
    // What it has shown never goes back.
    await two.evaluate(() => {
      window.teas = [];
      new MutationObserver(() => teas.push(Number(document.querySelectorAll("#result b")[1].textContent)))
        .observe(document.body, { childList: true, characterData: true, subtree: true });
    });
    for (let votes = 1; votes <= 12; votes++) {
      await one.getByRole("button", { name: "Tea" }).click();
      await shows(one, "#result b", ["0", String(votes), "0"]);
    }
    await proxy.untilCut(2);
    await shows(two, "#result b", ["0", "12", "0"]);
    const teas = await two.evaluate(() => window.teas);
    assert.deepEqual(teas, teas.toSorted((one, other) => one - other));
    assert.ok(proxy.requests.slice(1).every((head) => /^last-event-id: \S/im.test(head)), proxy.requests.at(-1));

    // Votes are in memory. A stream ends in an orderly way, and by an error.
    for (const signal of ["SIGTERM", "SIGKILL"]) {
      await server.kill(signal);
      await server.restart();
      await shows(two, "#result b", ["0", "0", "0"]);
      await two.getByRole("button", { name: "Water" }).click();
      await shows(two, "#result b", ["0", "0", "1"]);
    }
    for (const page of [one, two]) await shows(page, "#result b", ["0", "0", "1"]);
  });

  test("of notifications shows a user's own, and what is read in one tab is read in the other", { timeout }, async (t) => {
    const { url } = await start(t, "notifications");
    const logIn = async (page, user, password) => {
      await page.getByLabel("User").fill(user);
      await page.getByLabel("Password").fill(password);
      await page.getByRole("button", { name: "Log in" }).click();
      await page.getByRole("heading", { name: `For ${user}` }).waitFor();
      await page.locator("#state.open").waitFor();
    };
    const provoked = [/status of 401/, /ERR_FAILED/];
    const [ada, grace] = [await open(t, url, { provoked }), await open(t, url, { provoked })];
    await ada.getByLabel("User").fill("ada");
    await ada.getByLabel("Password").fill("wrong");
    await ada.getByRole("button", { name: "Log in" }).click();
    await ada.waitForFunction(() => document.querySelector("[name=password]").validationMessage === "User or password is wrong");
    await logIn(ada, "ada", "engine");
    await logIn(grace, "grace", "compiler");
    const tab = await open(t, url, { context: ada.context(), provoked });
    await grace.route("**/notify/*", (route) => route.abort(), { times: 1 });
    await grace.getByLabel("Text").fill("zero");
    await grace.getByRole("button", { name: "Notify" }).click();
    await grace.getByRole("alert").waitFor();
    assert.equal(await grace.getByLabel("Text").inputValue(), "zero");
    for (const [to, text] of [["ada", "one"], ["grace", "two"], ["ada", "<b>three"]]) {
      await grace.getByLabel("To").selectOption(to);
      await grace.getByLabel("Text").fill(text);
      await grace.getByRole("button", { name: "Notify" }).click();
    }
    for (const page of [ada, tab]) {
      await shows(page, "li", ["<b>threegrace", "onegrace"]);
      await shows(page, "#unread:not([hidden])", ["2"]);
    }
    await shows(grace, "li", ["twograce"]);
    await tab.getByRole("button", { name: "Mark all as read" }).click();
    for (const page of [ada, tab]) await page.waitForFunction(() => document.querySelectorAll("li.read").length === 2 && document.title === "Notifications");
    await tab.getByRole("button", { name: "Log out" }).click();
    for (const page of [ada, tab]) await page.getByRole("button", { name: "Log in" }).waitFor();
  });

  test("of an import shows its progress, its end, and what is wrong", { timeout }, async (t) => {
    const { url } = await start(t, "file-import");
    const page = await open(t, url);
    const send = async (rows) => {
      await page.getByLabel("File").setInputFiles({ name: "rows.csv", mimeType: "text/csv", buffer: Buffer.from(rows) });
      await page.getByRole("button", { name: "Import" }).click();
    };
    await send("a;1\n".repeat(50_000));
    await shows(page, "article p.good", ["50,000 rows were imported"]);
    // It has ended. A page that comes later is told how.
    await page.reload();
    await shows(page, "article p.good", ["50,000 rows were imported"]);
    await send("a;1\nb;?\n");
    await shows(page, "article p.bad", ['Row 2: "?" is not a number']);
    assert.equal(await page.locator("progress").evaluate((bar) => bar.value), 0);
    const unknown = await open(t, `${url}/#99`, { provoked: [/status of 404/] });
    await shows(unknown, "article p.bad", ["There is no such import"]);
  });

  test("of the ticker has one row for each symbol, also in a second tab", { timeout }, async (t) => {
    const { url } = await start(t, "ticker");
    const page = await open(t, url);
    const tab = await open(t, url, { context: page.context() });
    for (const one of [page, tab]) {
      await one.waitForFunction(() => document.querySelectorAll("tbody tr").length === 8);
      const before = await texts(one, "tbody td:last-child");
      await one.waitForFunction((before) => [...document.querySelectorAll("tbody td:last-child")].every((it, n) => it.textContent !== before[n]), before);
      assert.match((await texts(one, "tbody td:nth-child(2)"))[0], /^\d+\.\d\d$/);
    }
  });

  test("of the dashboard counts requests, and draws the last minute", { timeout }, async (t) => {
    const { url } = await start(t, "dashboard");
    const page = await open(t, url, { provoked: [/status of 500/] });
    await page.locator("#state.open").waitFor();
    await page.getByRole("button", { name: "Send requests" }).click();
    await page.waitForFunction(() => Number(document.getElementById("requests").textContent) > 0);
    await page.getByRole("button", { name: "Some that fail" }).click();
    await page.waitForFunction(() => Number(document.getElementById("failed").textContent) > 0);
    await shows(page, "#watching", ["1"]);
    const drawn = await page.locator("path").first().getAttribute("d");
    assert.match(drawn, /^M\d+ [\d.]+L\d+ /);
    await page.reload();
    await page.waitForFunction((points) => document.querySelector("path").getAttribute("d").split("L").length >= points, drawn.split("L").length);
  });

  test("of news goes on where the server has rendered it", { timeout }, async (t) => {
    const { url } = await start(t, "news");
    const publish = (headline) => fetch(`${url}/news`, { method: "POST", body: new URLSearchParams({ headline, section: "Local" }), redirect: "manual" });
    await publish("<i>one");
    const page = await open(t, url);
    await publish("two");
    await shows(page, "li > span", ["two", "<i>one"]);
    await page.getByLabel("Headline").fill("three");
    await page.getByRole("button", { name: "Publish" }).click();
    await shows(page, "li > span", ["three", "two", "<i>one"]);
    const still = await open(t, url, { javaScriptEnabled: false });
    await still.getByLabel("Headline").fill("four");
    await still.getByRole("button", { name: "Publish" }).click();
    await still.locator("li", { hasText: "four" }).waitFor();
    assert.deepEqual(await texts(still, "li > span"), ["four", "three", "two", "<i>one"]);
    await shows(page, "li > span", ["four", "three", "two", "<i>one"]);
  });

  test("of news keeps what could not be published", { timeout }, async (t) => {
    const { url } = await start(t, "news");
    const page = await open(t, url, { provoked: [/ERR_FAILED/] });
    await page.route("**/news", (route) => route.abort(), { times: 1 });
    await page.getByLabel("Headline").fill("one");
    await page.getByRole("button", { name: "Publish" }).click();
    await page.getByRole("alert").waitFor();
    assert.equal(await page.getByLabel("Headline").inputValue(), "one");
    await page.getByRole("button", { name: "Publish" }).click();
    await shows(page, "li > span", ["one"]);
    await page.waitForFunction(() => document.querySelector("[name=headline]").value === "");
  });

  test("of a document shows what others write, and who is there", { timeout }, async (t) => {
    const { url } = await start(t, "collaboration");
    const [ada, grace] = [await open(t, `${url}/?user=ada`), await open(t, `${url}/?user=grace`)];
    await shows(ada, "#present b", ["ada (you)", "grace"]);
    const [first, second] = ["Paragraph 1", "Paragraph 2"];
    await grace.getByPlaceholder(first).pressSequentially("Hel");
    await ada.locator("small", { hasText: "grace is writing" }).waitFor();
    await grace.getByPlaceholder(first).pressSequentially("lo <b>");
    await grace.getByPlaceholder(second).fill("From grace");
    await grace.getByPlaceholder(second).blur();
    await ada.waitForFunction(() => [...document.querySelectorAll("textarea")].map((it) => it.value).join("|") === "Hello <b>|From grace||");
    await ada.locator("small", { hasText: "grace has written this" }).first().waitFor();
    await grace.close();
    await shows(ada, "#present b", ["ada (you)"]);
    const linus = await open(t, `${url}/?user=linus`);
    await linus.waitForFunction(() => document.querySelector("textarea").value === "Hello <b>");
  });

  test("of a document loses nothing that was not saved or is being typed", { timeout }, async (t) => {
    const server = await start(t, "collaboration");
    const provoked = [/ERR_(CONNECTION_RE|EMPTY_RESPONSE|INCOMPLETE_CHUNKED_ENCODING)/];
    const [ada, grace] = [await open(t, `${server.url}/?user=ada`, { provoked }), await open(t, `${server.url}/?user=grace`, { provoked })];
    const [first, second] = [grace.getByLabel("Paragraph 1"), grace.getByLabel("Paragraph 2")];
    await shows(ada, "#present b", ["ada (you)", "grace"]);
    await server.kill();
    await first.fill("Hello");
    await first.blur();
    await grace.locator("small", { hasText: "Not saved" }).waitFor();
    await server.restart();
    await ada.waitForFunction(() => document.querySelector("textarea").value === "Hello");
    await grace.locator("small", { hasText: "grace has written this" }).waitFor();

    // What is sent comes back when there is more in the box.
    let send;
    const more = new Promise((resolve) => { send = resolve; });
    await grace.route(/\/paragraphs\/1\?/, async (route) => {
      await more;
      await route.continue();
    });
    await second.fill("a");
    await second.blur();
    await second.fill("ab");
    send();
    await grace.waitForFunction(() => document.querySelectorAll("small")[1].textContent === "grace has written this");
    assert.equal(await second.inputValue(), "ab");
    // Who writes and does not leave the box has written all the same.
    await ada.waitForFunction(() => document.querySelectorAll("textarea")[1].value === "ab");
  });

  test("of sensors shows those that match", { timeout }, async (t) => {
    const { url } = await start(t, "sensors");
    const report = (sensor, value) => fetch(`${url}/sensors/${sensor}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ value }) });
    const page = await open(t, url);
    await report("attic/heat", 31.26);
    await report("attic/humidity", 55);
    await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 8);
    await page.getByLabel("Which").selectOption("Heat, everywhere");
    await shows(page, "tbody td:nth-child(2)", Array(4).fill("heat"));
    await page.getByLabel("At least").fill("31");
    await page.getByLabel("At least").blur();
    await shows(page, "tbody tr > :nth-child(-n+3)", ["attic", "heat", "31.3"]);
  });

  test("of sensors shows nothing that came before its filter", { timeout }, async (t) => {
    const { url } = await start(t, "sensors");
    const page = await open(t, url);
    await page.locator("tbody tr").first().waitFor();
    // A reading has come, and is not painted yet.
    await page.evaluate(() => new Promise((resolve) => {
      client.on("reading", () => {
        form.at_least.value = "1000";
        form.dispatchEvent(new Event("change"));
        requestAnimationFrame(resolve);
      });
    }));
    assert.equal(await page.locator("tbody tr").count(), 0);
  });

  test("of an import whose length is not known says what has come", { timeout }, async (t) => {
    const { url } = await start(t, "file-import");
    const id = await (await fetch(`${url}/imports`, { method: "POST" })).text();
    const page = await open(t, `${url}/#${id}`);
    await shows(page, "article p", ["Waiting for the file"]);
    let end;
    const ended = new Promise((resolve) => { end = resolve; });
    async function* rows() {
      yield Buffer.from("a;1\n".repeat(300_000));
      await ended;
      yield Buffer.from("b;2\n");
    }
    const sent = fetch(`${url}/imports/${id}`, { method: "PUT", body: rows(), duplex: "half" });
    await page.waitForFunction(() => /^\d{3},\d{3} rows, 1\.\d MB$/.test(document.querySelector("article p").textContent));
    assert.equal(await page.locator("progress").evaluate((bar) => bar.position), -1);
    end();
    assert.equal((await sent).status, 204);
    await shows(page, "article p.good", ["300,001 rows were imported"]);
    assert.equal(await page.locator("progress").evaluate((bar) => bar.position), 1);
  });
});

describe("on a phone, in the dark, the page", { concurrency: 2 }, () => {
  for (const name of ["collaboration", "dashboard", "datastar", "file-import", "htmx", "news", "notifications", "sensors", "ticker"]) {
    test(`of ${name} is not wider than the screen`, { timeout }, async (t) => {
      const { url } = await start(t, name);
      const viewport = { width: 360, height: 740 };
      const page = await open(t, url, { colorScheme: "dark", viewport, isMobile: true, provoked: [/status of 401/] });
      if (["dashboard", "sensors", "ticker"].includes(name)) await page.locator("#state.open").waitFor();
      if (["sensors", "ticker"].includes(name)) await page.locator("tbody tr").first().waitFor();
      const [width, paper] = await page.evaluate(() => [document.documentElement.scrollWidth, getComputedStyle(document.body).backgroundColor]);
      assert.ok(width <= viewport.width, `${width} px wide`);
      assert.equal(paper, "rgb(13, 22, 27)");
      const { TIDINGS_SCREENSHOTS: folder } = process.env;
      if (folder) await page.screenshot({ path: `${folder}/${name}-phone.png` });
    });
  }
});
