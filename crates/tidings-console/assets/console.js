// The console of a hub:
//
//   1. the session    a cookie that scripts cannot read; the token is sent once
//   2. the figures    one event a second, and what is drawn of it
//   3. the clients    asked for every two seconds
//   4. the tail       a topic's stream, read along
//
// Nothing from the server is parsed as HTML: all text is set by textContent.

import { Chart } from "./chart.js";
import { read } from "./tail.js";

const $ = (id) => document.getElementById(id);
const url = (path, parameters = {}) => {
  const url = new URL(path, import.meta.url);
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  return url;
};

// Requests that change something must have this header, which pages of other origins cannot send.
const MARK = { "x-tidings-console": "1" };

function make(tag, className, text) {
  const el = document.createElement(tag);
  if (className) el.className = className;
  if (text !== undefined) el.textContent = text;
  return el;
}

function say(el, text, tone = "") {
  if (el.textContent !== text) el.textContent = text;   // do not announce it twice
  el.dataset.tone = tone;
}

const number = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const rate = (value) => (value === null ? "–" : value === 0 ? "0" : value < 10 ? value.toFixed(1) : number.format(value));
const bytes = (value) => {
  const units = ["B", "KiB", "MiB", "GiB"];
  const unit = value < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(value) / 10));
  return `${(value / 1024 ** unit).toFixed(unit === 0 || value / 1024 ** unit >= 100 ? 0 : 1)} ${units[unit]}`;
};
const plural = (n, one) => `${number.format(n)} ${one}${n === 1 ? "" : "s"}`;
const seconds = (ms) => (ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : `${number.format(ms / 1000)} s`);
const age = (ms) => {
  const s = Math.floor(ms / 1000);
  return s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} min` : s < 86_400 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86_400)} d`;
};


// 1. The session --------------------------------------------------------------

async function enter() {
  const answer = await fetch(url("session")).catch(() => null);
  if (answer?.ok) begin();
  else if (answer?.status === 401) askForToken();
  else {
    setState("lost", "Cannot be reached");
    setTimeout(enter, 2000);
  }
}

function askForToken(reason = "") {
  stop();
  setState("waiting", "Not logged in");
  say($("health"), "");
  $("console").hidden = true;
  $("log-out").hidden = true;
  $("login").hidden = false;
  say($("login-result"), reason, "bad");
  $("token").focus();
}

$("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const token = $("token").value;
  try {
    const answer = await fetch(url("login"), { method: "POST", headers: MARK, body: token });
    if (!answer.ok) throw new Error((await answer.json()).error);
    $("token").value = "";
    begin();
  } catch (error) {
    say($("login-result"), error instanceof TypeError ? "The server cannot be reached." : `That did not work: ${error.message}.`, "bad");
  }
});

$("log-out").addEventListener("click", async () => {
  await fetch(url("logout"), { method: "POST", headers: MARK }).catch(() => {});
  // The next user of this page must not see what this one saw.
  location.reload();
});

function begin() {
  $("login").hidden = true;
  $("console").hidden = false;
  $("log-out").hidden = false;
  follow();
  refreshClients();
}

function stop() {
  source?.close();
  source = null;
  stopTail("");
}

function setState(state, text) {
  $("state").dataset.state = state;
  if ($("state").textContent !== text) $("state").textContent = text;
}

// A page that is left may live on in the browser's cache: its streams need not.
addEventListener("pagehide", stop);
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });


// 2. The figures --------------------------------------------------------------

let source = null;
let before = null;   // { at, metrics } of the event before

function follow() {
  source?.close();
  source = new EventSource(url("figures"));
  source.addEventListener("figures", ({ data }) => show(JSON.parse(data)));
  source.onerror = () => {
    setState("lost", "Connection lost");
    before = null;
    // The server has answered with something else than a stream: perhaps the session has expired.
    if (source.readyState === EventSource.CLOSED) {
      source = null;
      setTimeout(enter, 1000);
    }
  };
}

const charts = {
  clients: new Chart($("chart-clients"), "Clients", ["streams"], number.format),
  events: new Chart($("chart-events"), "Events", ["a second"], rate),
  publications: new Chart($("chart-publications"), "Publications", ["a second", "refused"], rate),
  resets: new Chart($("chart-resets"), "Resets", ["expired", "trimmed", "unknown"], number.format),
  memory: new Chart($("chart-memory"), "Memory", ["retained", "pinned"], bytes, (value) => 2 ** Math.ceil(Math.log2(value))),
  lag: new Chart($("chart-lag"), "Lag", ["events, slowest client"], number.format),
};

function show({ ready, health, log, lag_ms, nodes, topics, metrics }) {
  const at = performance.now() / 1000;
  setState("live", "Live");
  const behind = lag_ms === null ? "" : `, ${seconds(lag_ms)} behind`;
  say($("health"), log === "memory" ? `hub in memory, ${health}` : `log ${log}${behind}, ${health}`, ready ? "" : "bad");

  const perSecond = (name) => (before === null || before.metrics[name] === undefined ? null : Math.max(0, metrics[name] - before.metrics[name]) / (at - before.at));
  const resets = ["expired", "trimmed", "unknown"].map((reason) => metrics[`tidings_streams_total{status="reset",reason="${reason}"}`] ?? 0);
  charts.clients.add(at, [metrics.tidings_clients]);
  charts.events.add(at, [perSecond("tidings_events_total")]);
  charts.publications.add(at, [perSecond('tidings_publications_total{outcome="ok"}'), perSecond('tidings_publications_total{outcome="error"}')]);
  charts.resets.add(at, resets);
  charts.memory.add(at, [metrics.tidings_retained_bytes, metrics.tidings_pinned_bytes]);
  charts.lag.add(at, [slowest]);

  $("topics-total").textContent = topics.total > topics.list.length ? `the ${topics.list.length} busiest of ${number.format(topics.total)}` : number.format(topics.total);
  rows($("topics"), topics.list, ({ name }) => name, topicRow, "No topics yet.");
  $("nodes-total").textContent = plural(nodes.reduce((sum, node) => sum + (node.lost ? 0 : node.clients), 0), "stream");
  rows($("nodes"), nodes, ({ id }) => id, nodeRow, "");
  const all = Object.entries(metrics).map(([name, value]) => ({ name, value, rate: /_total\b/.test(name) ? perSecond(name) : null }));
  rows($("metrics"), all, ({ name }) => name, metricRow, "");
  before = { at, metrics };
}

/**
 * Shows a table's rows. A row stays the same element, so that the keyboard's focus stays, too: `update` gets its cells.
 */
function rows(body, items, key, update, nothing) {
  const known = new Map(Array.from(body.children, (row) => [row.dataset.key, row]));
  const wanted = items.map((item) => {
    const row = known.get(key(item)) ?? make("tr");
    row.dataset.key = key(item);
    update(row, item);
    return row;
  });
  if (wanted.length === 0 && nothing) {
    const row = make("tr", "empty");
    row.append(make("td", "", nothing));
    wanted.push(row);
  }
  for (const row of known.values()) if (!wanted.includes(row)) row.remove();
  wanted.forEach((row, at) => { if (body.children[at] !== row) body.insertBefore(row, body.children[at] ?? null); });
}

/** Sets the texts of a row's cells: pairs of class and text, or of class and element. */
function cells(row, texts, labels = []) {
  texts.forEach(([className, text], at) => {
    const cell = row.children[at] ?? row.appendChild(make("td"));
    cell.className = className;
    if (labels[at]) cell.dataset.label = labels[at];
    if (text instanceof Element) {
      if (cell.firstChild !== text) cell.replaceChildren(text);
      return;
    }
    const span = cell.firstElementChild ?? cell.appendChild(make("span"));
    if (span.textContent !== text) span.textContent = text;
  });
}

function topicRow(row, { name, subscribers, rate: events, in_memory, bytes: size }) {
  const link = row.querySelector("button") ?? make("button", "link", name);
  link.type = "button";
  link.title = "Read along";
  link.onclick = () => {
    $("tail-topic").value = name;
    $("tail-form").requestSubmit();
    $("tail-title").scrollIntoView();
  };
  cells(row, [["", link], ["num", rate(events)], ["num", number.format(subscribers)], ["num", number.format(in_memory)], ["num", bytes(size)]]);
}

function nodeRow(row, node) {
  const state = node.lost ? "lost" : node.ready ? "ready" : "not ready";
  cells(row, [
    ["code whole", node.self ? `${node.id} (this)` : node.id],
    [node.lost || !node.ready ? "bad" : "", state],
    ["num", number.format(node.clients)],
    ["num", node.self ? "now" : `${age(node.last_seen_ms)} ago`],
  ]);
}

function metricRow(row, { name, value, rate: more }) {
  cells(row, [["code", name], ["num", Number.isInteger(value) ? number.format(value) : value.toFixed(2)], ["num", more === null ? "" : rate(more)]]);
}


// 3. The clients --------------------------------------------------------------

let slowest = null;   // how many events the slowest client lags
let timer = 0;

async function refreshClients() {
  clearTimeout(timer);
  if ($("console").hidden) return;
  if (!document.hidden) {
    const search = $("search").value;
    const answer = await fetch(url("clients", { search })).catch(() => null);
    if (answer?.status === 401) return askForToken("The session has expired.");
    if (answer?.ok) {
      const { total, found, clients } = await answer.json();
      if (search === $("search").value) showClients(total, found, clients, search);
    }
  }
  clearTimeout(timer);
  timer = setTimeout(refreshClients, 2000);
}

function showClients(total, found, clients, search) {
  if (!search) slowest = clients[0]?.lag ?? 0;
  const lagging = clients.filter(({ lag }) => lag > 0).length;
  const shown = found > clients.length ? `, ${clients.length} shown` : "";
  const which = search ? `${number.format(found)} of ${number.format(total)} found` : `${number.format(total)} on this node`;
  $("clients-total").textContent = `${which}${shown}${lagging ? `, ${lagging} lag` : ""}`;
  rows($("clients"), clients, ({ id }) => id, clientRow, search ? "Nobody is found." : "Nobody is connected.");
}

const LABELS = ["Client", "Principal", "From", "Topics", "Connected", "Events", "Lag", ""];

function clientRow(row, client) {
  const close = row.querySelector("button") ?? make("button", "quiet", "Close");
  close.type = "button";
  close.ariaLabel = `Close ${client.id}`;
  close.onclick = () => closeClient(client.id, close);
  const topics = client.topics.join(", ") + (client.topics_more > 0 ? `, and ${client.topics_more} more` : "");
  cells(row, [
    ["code whole", client.id],
    ["", client.principal ?? "–"],
    ["code whole", client.remote_addr ?? "–"],
    ["code", topics],
    ["num", age(client.connected_ms)],
    ["num", number.format(client.events_sent)],
    [client.lag > 0 ? "num warn" : "num", number.format(client.lag)],
    ["num", close],
  ], LABELS);
}

async function closeClient(id, button) {
  button.disabled = true;
  try {
    const answer = await fetch(url(`clients/${id}`), { method: "DELETE", headers: MARK });
    if (answer.status === 401) return askForToken("The session has expired.");
    if (!answer.ok) throw new Error((await answer.json()).error);
    say($("clients-result"), `The stream of ${id} was ended. Its client comes back, unless the application refuses it.`);
  } catch (error) {
    say($("clients-result"), `${id} was not closed: ${error.message}.`, "bad");
  }
  button.disabled = false;
  refreshClients();
}

$("clients-form").addEventListener("submit", (event) => event.preventDefault());
$("search").addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(refreshClients, 200);
});


// 4. The tail -----------------------------------------------------------------

const MOST_EVENTS = 200;
const MOST_TEXT = 4000;
let tail = null;   // aborts the stream that is being read

$("tail-form").addEventListener("submit", (event) => {
  event.preventDefault();
  stopTail("");
  $("tail").replaceChildren();
  tail = new AbortController();
  $("tail-stop").hidden = false;
  readTail($("tail-topic").value, $("tail-last").value, tail.signal);
});

$("tail-stop").addEventListener("click", () => stopTail("Stopped."));

function stopTail(text) {
  tail?.abort();
  tail = null;
  $("tail-stop").hidden = true;
  if (text) say($("tail-state"), text);
}

async function readTail(topic, last, signal) {
  let lastEventId = "";
  let count = 0;
  while (!signal.aborted) {
    try {
      for await (const event of read(url("tail", { topic, last, lastEventId }), signal)) {
        if (signal.aborted) return;
        lastEventId = event.lastEventId;
        if (!event.type.startsWith("tidings:")) count += 1;
        showEvent(event);
        say($("tail-state"), `${topic}: ${plural(count, "event")}`);
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 401) return askForToken("The session has expired.");
      if (error.status !== undefined) {
        stopTail("");
        return say($("tail-state"), `${error.message}.`, "bad");
      }
    }
    if (signal.aborted) return;
    say($("tail-state"), `${topic}: connection lost, and tried again`);
    await new Promise((resolve) => { setTimeout(resolve, 1000); });
  }
}

function showEvent({ type, data, lastEventId }) {
  const line = make("li");
  line.dataset.event = type;
  const text = data.length > MOST_TEXT ? `${data.slice(0, MOST_TEXT)}… (${number.format(data.length)} characters)` : data;
  line.append(
    make("span", "time", new Date().toLocaleTimeString("en-GB")),
    make("span", "name", type),
    make("span", "data", text),
    make("span", "id", lastEventId),
  );
  // The newest is on top.
  $("tail").prepend(line);
  while ($("tail").children.length > MOST_EVENTS) $("tail").lastElementChild.remove();
}

enter();
