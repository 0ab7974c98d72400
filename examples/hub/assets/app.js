// The live page of Tidings. It reads like a tutorial from top to bottom:
//
//   1. the connection        how a browser consumes a stream, and resumes it
//   2. tabs, and going back  when to have a connection, and when not
//   3. what the events say   one small function for each event name
//   4. continuity            proof that nothing was lost or sent twice
//   5. cutting the line      and counting what was replayed
//   6. publishing, the wire, the list of clients
//   7. the chart
//
// Nothing from the server is parsed as HTML: all text is set by textContent.

const $ = (id) => document.getElementById(id);

/** A new element with a class and a text. */
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

const plural = (n, one) => `${n} ${one}${n === 1 ? "" : "s"}`;
const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;

// A hub on the open net asks for a token for everything but the stream. The part of
// an address after `#` is never sent: `/#token=…` is for us alone.
const token = new URLSearchParams(location.hash.slice(1)).get("token");
const credentials = token ? { authorization: `Bearer ${token}` } : {};

const calm = matchMedia("(prefers-reduced-motion: reduce)");

function parse(text) {
  try { return JSON.parse(text); } catch { return undefined; }
}


// 1. The connection ---------------------------------------------------------

// One EventSource carries all three topics. `history` asks the server to send
// a *new* client the last 400 events first, so that the page is never empty.
const TOPICS = ["ticker", "notifications", "job"];
const HISTORY = 400;

// EventSource gives up when the answer is not a stream with status 200. Then we
// try again ourselves, this often.
const TRY_AGAIN_MS = 4000;

let source = null;       // the EventSource
let lastId = "";         // id of the last event that we saw
let clientId = null;     // what the server calls this connection
let opened = 0;          // how many times the stream has opened
let resets = 0;
let isFinished = false;  // nothing is to come any more
let lostAt = null;       // when the connection was lost, null while it is open
let retryAt = null;      // when we try again after EventSource gave up
let retryTimer = 0;

// EventSource delivers an event only to listeners for its *name*. It cannot
// listen to all names. So we keep a table, name → function.
const handlers = {
  "tidings:status": onStatus,
  "tidings:end": onEnd,
  price: onPrice,
  notification: onNotification,
  progress: onProgress,
  done: onDone,
  message: () => {},     // the name of an event that was sent without a name
};

function connect() {
  disconnect();
  const url = new URL("/events", location.href);
  for (const topic of TOPICS) url.searchParams.append("topic", topic);
  url.searchParams.set("history", HISTORY);

  // An EventSource remembers the last id, and sends it as the `Last-Event-ID`
  // header each time it reconnects: resuming needs no code. A *new* EventSource
  // has no last id and cannot set headers, so here the id is in the query.
  if (lastId) url.searchParams.set("lastEventId", lastId);

  source = new EventSource(url);
  // These hear events that were published with the names `open` and `error`, too,
  // which anybody may do. Those have data, and the browser's own have none.
  source.onopen = ({ data }) => { if (data === undefined) onOpen(); };
  source.onerror = ({ data }) => { if (data === undefined) onError(); };
  for (const name of Object.keys(handlers)) listen(name);
  setState("connecting");
}

function disconnect() {
  clearTimeout(retryTimer);
  retryAt = null;
  source?.close();
  source = null;
}

/** Handles every event, whatever its name. */
function listen(name) {
  const stream = source;
  stream.addEventListener(name, (event) => {
    // The browser's own `open` and `error` have no data.
    if (stream !== source || event.data === undefined) return;
    // `lastEventId` is the id of this event or, if it has none, of the previous
    // event: exactly what the browser would send to resume. A new EventSource that
    // is turned away has seen none.
    lastId = event.lastEventId || lastId;
    $("last-id").textContent = lastId || "none yet";
    showOnWire(name, event);
    if (!name.startsWith("tidings:")) countReplayed();
    handlers[name](parse(event.data), event);
  });
}

function onOpen() {
  opened += 1;
  $("reconnects").textContent = opened - 1;
  clearTimeout(patience);
}

// `error` says only that the connection was lost. readyState says the rest:
// CONNECTING, the browser waits for the time in `retry:` and reconnects;
// CLOSED, the answer was no stream (a 503 of a proxy, for example) and the
// browser will not reconnect.
function onError() {
  connectionLost();
  if (source.readyState === EventSource.CLOSED) {
    setState("closed");
    clearTimeout(retryTimer);
    retryTimer = setTimeout(connect, TRY_AGAIN_MS);
    retryAt = performance.now() + TRY_AGAIN_MS;
  } else {
    setState(opened > 0 ? "reconnecting" : "connecting");
  }
  if (lostAt !== null && lastId) {
    say($("outcome"), `The line is cut. The last event seen was ${lastId}.`);
  }
}

function connectionLost() {
  clientId = null;
  showStatus(null);
  if (lostAt !== null || opened === 0) return;
  lostAt = performance.now();
  finishReplay();
  chart.cutStarts();
}

const STATES = {
  connecting: "Connecting",
  waiting: "Waiting",
  live: "Live",
  reconnecting: "Reconnecting",
  closed: "Closed",
  finished: "Finished",
};

function setState(state) {
  const el = $("state");
  if (el.dataset.state !== state) {
    el.dataset.state = state;
    el.textContent = STATES[state];
  }
  $("connect-again").hidden = state !== "closed";
  updateCutButton();
  updateTimer();
}

// The browser does not say how long it will wait, so we count up while it
// reconnects. With our own timer, we can count down.
function updateTimer() {
  const now = performance.now();
  let text = "";
  if (retryAt !== null) text = `next try in ${Math.max(0, Math.ceil((retryAt - now) / 1000))} s`;
  else if (lostAt !== null) text = seconds(now - lostAt);
  $("state-timer").textContent = text;
}
setInterval(updateTimer, 100);

$("connect-again").addEventListener("click", connect);


// 2. Tabs, and going back ---------------------------------------------------

// A page that is left may live on in the browser's back/forward cache, and in
// Chromium its stream with it. Nobody sees it, and it holds a connection. So we
// close the stream when the page is hidden, and resume when it is shown again.
addEventListener("pagehide", () => { if (!isFinished) leave(); });
addEventListener("pageshow", (event) => { if (event.persisted && !isFinished) enter(); });

// Over HTTP/1.1, a browser opens six connections to a server, over all its tabs.
// With six streams, not even a page loads any more. So the tabs share five slots,
// which leaves one connection for everything else. A slot is a lock, which the
// browser releases when the tab is closed. HTTP/2 has many streams on one
// connection, and needs no slots. (Locks are there on https: and on localhost.)
const SLOTS = 5;
const SLOT = "tidings stream ";
const isHttp1 = !/^h[23]/.test(performance.getEntriesByType("navigation")[0]?.nextHopProtocol);
const PATIENCE_MS = 2500;

let visit = new AbortController();   // aborted when the page is left
let releaseSlot = () => {};
let patience = 0;

async function enter() {
  const { signal } = visit = new AbortController();
  setState("connecting");
  patience = setTimeout(explainWait, PATIENCE_MS);
  if (isHttp1 && navigator.locks) {
    const release = await takeSlot(signal).catch((error) => { if (!signal.aborted) throw error; });
    if (signal.aborted) {
      release?.();
      return;
    }
    releaseSlot = release;
  }
  connect();
}

function leave() {
  visit.abort();
  clearTimeout(patience);
  disconnect();
  connectionLost();
  releaseSlot();
}

/** Resolves to the function that releases the slot. One tab at a time looks for one, so they get them in turn. */
async function takeSlot(signal) {
  return navigator.locks.request("tidings next", { signal }, async () => {
    for (;;) {
      const { held } = await navigator.locks.query();
      const taken = held.map(({ name }) => name).filter((name) => name.startsWith(SLOT));
      signal.throwIfAborted();
      if (taken.length < SLOTS) return holdSlot();
      await oneIsReleased(taken, signal);
    }
  });
}

// Each slot has a name of its own: Chromium evicts a page from its cache if another
// asks for a lock that the page is just about to release.
function holdSlot() {
  return new Promise((resolve, reject) => {
    const hold = () => new Promise((release) => { resolve(release); });
    navigator.locks.request(SLOT + crypto.randomUUID(), hold).catch(reject);
  });
}

async function oneIsReleased(slots, signal) {
  const enough = new AbortController();
  const options = { signal: AbortSignal.any([signal, enough.signal]) };
  try {
    await Promise.any(slots.map((slot) => navigator.locks.request(slot, options, () => {})));
  } finally {
    enough.abort();
  }
}

function explainWait() {
  if (source === null) {
    setState("waiting");
    showNotice(`This tab waits for a connection: ${SLOTS} other tabs of this page have a stream. Over HTTP/1.1, a browser opens six connections to a server, and one is left for everything else. Close one of those tabs, and this one goes on by itself. HTTP/2 has no such limit.`);
  } else {
    showNotice("The server has not answered yet; the browser keeps trying. Over HTTP/1.1, other tabs may hold all six connections that a browser opens to a server: close one of them. HTTP/2 has no such limit.");
  }
}

let noticeTimer = 0;

/** Shows a notice, until `hideNotice` or for a time. */
function showNotice(text, ms) {
  hideNotice();
  $("notice").textContent = text;
  $("notice").hidden = false;
  if (ms !== undefined) noticeTimer = setTimeout(hideNotice, ms);
}

function hideNotice() {
  clearTimeout(noticeTimer);
  $("notice").hidden = true;
}


// 3. What the events say ----------------------------------------------------

// The first event of a stream says how it begins (one that is turned away has none):
//   fresh    a new client; some history follows
//   resumed  the events since our last id follow, then the live ones
//   reset    the server no longer holds everything since our last id, so what
//            we show may have a gap: forget it, all that is retained follows
// A reset can also come in the middle of a stream, if we read too slowly.
function onStatus(data) {
  if (!data) return;
  if (data.client) clientId = data.client;
  const away = lostAt === null ? null : performance.now() - lostAt;
  const before = { n: lastN, missing, doubled };
  lostAt = null;
  hideNotice();
  setState("live");

  if (data.status !== "resumed") clearEverything();
  if (data.status === "reset") {
    resets += 1;
    $("resets").textContent = resets;
    showNotice(`Reset (${data.reason ?? "no reason given"}): ${RESET_REASONS[data.reason] ?? ""} The page started over with everything that is retained.`, 20_000);
  }
  showStatus(data.status);
  startReplay(data.status, away, before);
  updateCutButton();
}

/** What the server said about this connection, next to its state. */
function showStatus(status) {
  $("status").textContent = status ?? "";
  $("status").dataset.status = status ?? "";
}

const RESET_REASONS = {
  expired: "events after the last one seen here were too old to be kept.",
  trimmed: "events after the last one seen here had to make room for newer ones.",
  unknown: "the server does not know the last id seen here; it may have been restarted.",
};

// A stream that the server ends on its own has a last event, which says why. EventSource
// knows nothing of it, and comes back. We close it when that would be for nothing.
function onEnd(data) {
  if (!data) return;
  showNotice(`The server has ended this stream (${data.reason}): ${END_REASONS[data.reason] ?? "the browser comes back."}`);
  if (data.reason !== "finished") return;
  isFinished = true;
  disconnect();
  releaseSlot();
  clientId = null;
  showStatus(null);
  setState("finished");
}

const END_REASONS = {
  limited: "it has as many as it may have. The browser asks again.",
  lifetime: "it has lasted long enough. The browser comes back.",
  drained: "the server is about to stop. The browser comes back.",
  finished: "all topics have had their last event.",
};

function clearEverything() {
  lastN = null;
  missing = doubled = 0;
  showContinuity();
  chart.clear();
  $("notifications").replaceChildren();
  $("notes-empty").hidden = false;
  showJob("Waiting for the next job", 0, false);
  $("job-percent").textContent = "";
}

function onPrice(data) {
  if (!Number.isInteger(data?.n) || !Number.isFinite(data.price)) return;
  ticks += 1;
  $("ticks").textContent = ticks;
  checkContinuity(data.n);
  if (data.symbol) $("symbol").textContent = data.symbol;
  $("price").textContent = data.price.toFixed(2);

  // A replayed price waits until we know its time (see finishReplay).
  if (replay) replay.prices.push(data.price);
  else chart.add(data.price);
  showDelta(data.price);
}

function showDelta(price) {
  const first = chart.oldestVisible();
  if (!first) return;
  const delta = price - first.v;
  const text = Math.abs(delta).toFixed(2);
  const way = text === "0.00" ? "flat" : delta > 0 ? "up" : "down";
  const sign = { up: "▲ ", down: "▼ ", flat: "" }[way];
  const span = Math.max(1, Math.round((performance.now() - first.t) / 1000));
  $("delta").dataset.way = way;
  $("delta").textContent = `${sign}${text} in ${span} s`;
}

const LEVELS = ["info", "success", "warning"];
const MAX_NOTES = 50;

function onNotification(data, event) {
  // Users may publish anything, so anything must be shown: data that is no JSON
  // object becomes the title.
  const note = data !== null && typeof data === "object" && !Array.isArray(data)
    ? data
    : { title: typeof data === "string" ? data : event.data };
  const level = LEVELS.includes(note.level) ? note.level : "info";
  const at = Number.isFinite(note.at) && Math.abs(note.at) < 8.64e15 ? note.at : Date.now();

  const li = make("li");
  li.dataset.level = level;
  if (!replay) li.className = "new";

  const mark = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  mark.setAttribute("class", "note-mark");
  mark.setAttribute("role", "img");
  mark.setAttribute("aria-label", level);
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#mark-${level}`);
  mark.append(use);

  const time = make("time", "note-time");
  time.dateTime = new Date(at).toISOString();
  time.dataset.at = at;
  showAge(time);

  li.append(mark, make("p", "note-title", String(note.title ?? "Untitled").slice(0, 200)), time);
  if (note.text) li.append(make("p", "note-text", String(note.text).slice(0, 600)));

  const list = $("notifications");
  list.prepend(li);
  while (list.children.length > MAX_NOTES) list.lastElementChild.remove();
  $("notes-empty").hidden = true;
}

function showAge(time) {
  const s = Math.max(0, (Date.now() - Number(time.dataset.at)) / 1000);
  time.textContent =
    s < 5 ? "now"
    : s < 60 ? `${Math.floor(s)} s ago`
    : s < 3600 ? `${Math.floor(s / 60)} min ago`
    : s < 86400 ? `${Math.floor(s / 3600)} h ago`
    : new Date(Number(time.dataset.at)).toLocaleDateString();
}
setInterval(() => document.querySelectorAll(".note-time").forEach(showAge), 5000);

function onProgress(data) {
  if (!Number.isFinite(data?.percent)) return;
  const percent = Math.min(100, Math.max(0, Math.round(data.percent)));
  showJob(String(data.step ?? `Job ${data.job}`), percent, false);
}

function onDone(data) {
  if (!data) return;
  const took = Number.isFinite(data.took_ms) ? ` in ${seconds(data.took_ms)}` : "";
  showJob(`Job ${data.job} is done${took}`, 100, true);
}

function showJob(step, percent, done) {
  $("job-step").textContent = step;
  $("job-percent").textContent = `${percent}%`;
  $("job-fill").style.transform = `translateX(${percent - 100}%)`;
  $("job-bar").setAttribute("aria-valuenow", percent);
  $("job-bar").setAttribute("aria-valuetext", `${percent}%, ${step}`);
  $("job-bar").closest(".job").classList.toggle("is-done", done);
}


// 4. Continuity -------------------------------------------------------------

// The server numbers the ticks 1, 2, 3 … without a gap. If each number is one more
// than the previous one, nothing was lost and nothing came twice, however often
// the connection was lost in between.
let ticks = 0;
let lastN = null;
let missing = 0;
let doubled = 0;

function checkContinuity(n) {
  if (lastN !== null) {
    if (n > lastN + 1) missing += n - lastN - 1;
    if (n <= lastN) doubled += 1;
  }
  lastN = Math.max(n, lastN ?? n);
  showContinuity();
}

function showContinuity() {
  for (const [id, value] of [["missing", missing], ["doubled", doubled]]) {
    $(id).textContent = value;
    $(id).parentElement.classList.toggle("wrong", value !== 0);
  }
}


// 5. Cutting the line -------------------------------------------------------

// The button asks the server to end *our* stream. To EventSource, that looks like a
// lost network, so the same happens as in a tunnel.
$("cut").addEventListener("click", async () => {
  if (!canCut()) return;
  cutting = true;
  updateCutButton();
  say($("outcome"), "Asking the server to end this stream.");
  try {
    const answer = await fetch(`/clients/${encodeURIComponent(clientId)}`, { method: "DELETE", headers: credentials });
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  } catch (error) {
    cutting = false;
    say($("outcome"), `That did not work: ${error.message}.`, "bad");
    updateCutButton();
  }
});

let cutting = false;
const canCut = () => !cutting && clientId !== null && lostAt === null && replay === null;

function updateCutButton() {
  // aria-disabled and not disabled: the button keeps the keyboard focus.
  $("cut").setAttribute("aria-disabled", String(!canCut()));
}

// Which events were published while we were away? On the stream they look like
// any other event. But the server sends all of them right after the status
// event, while live ticks come 200 ms apart. So the replay ends at the first
// pause of more than 60 ms. (The first event may take longer: a page that has just
// loaded is busy.) A live event in that time is counted, too, so the number may be
// one or two too high. The numbers of the ticks prove that nothing is missing.
//
// The wait has two halves. When the page was busy, a timer can be overdue while
// events are still queued. They are handled before the second timer, and restart
// the wait.
const PAUSE_MS = 60;
const FIRST_MS = 300;
let replay = null;       // { status, away, before, events, prices, lastAt, timer }

function startReplay(status, away, before) {
  clearTimeout(replay?.timer);
  replay = { status, away, before, events: 0, prices: [], lastAt: performance.now() };
  awaitPause();
}

function awaitPause() {
  clearTimeout(replay.timer);
  const half = (replay.events === 0 ? FIRST_MS : PAUSE_MS) / 2;
  replay.timer = setTimeout(() => {
    replay.timer = setTimeout(finishReplay, half);
  }, half);
}

function countReplayed() {
  if (!replay) return;
  replay.events += 1;
  replay.lastAt = performance.now();
  awaitPause();
}

function finishReplay() {
  if (!replay) return;
  const { status, away, before, events, prices, lastAt, timer } = replay;
  clearTimeout(timer);
  replay = null;
  cutting = false;

  if (status === "resumed") {
    // What we missed belongs between the last tick before the cut and now.
    const lost = missing - before.missing;
    const twice = doubled - before.doubled;
    chart.cutEnds(prices, away, events, lastAt);
    if (away !== null) {
      say($("outcome"),
        `Away for ${seconds(away)}: ${plural(events, "event")} replayed, ${lost} missing, ${twice} doubled.`,
        lost || twice ? "bad" : "good");
    }
  } else {
    // Fresh or reset: the last of these prices is the newest. The others come
    // before it, one tick apart.
    chart.seed(prices, lastAt);
    say($("outcome"), away !== null
      ? `Away for ${seconds(away)}, then started over with ${plural(events, "event")}.`
      : status === "reset"
        ? `Started over with ${plural(events, "event")}.`
        : `A new client: it began with ${plural(events, "event")} of history.`);
  }
  updateCutButton();
}


// 6. Publishing, the wire, the clients --------------------------------------

// Publishing is a POST: topic and event name in the query, the data as body. We do
// not add the notification to the list here. It comes back through the stream, as
// to everyone else.
function publishUrl() {
  const query = new URLSearchParams({ topic: $("publish-topic").value, event: $("publish-event").value });
  return new URL(`/publish?${query}`, location.href);
}

$("publish-form").addEventListener("submit", async (submit) => {
  submit.preventDefault();
  const result = $("publish-result");
  const topic = $("publish-topic").value;
  const name = $("publish-event").value;
  for (const field of ["topic", "event", "data"]) $(`publish-${field}`).removeAttribute("aria-invalid");

  // The user's event name needs a listener, or EventSource drops the event.
  if (name && !Object.hasOwn(handlers, name)) {
    handlers[name] = () => {};
    if (source) listen(name);
  }

  try {
    const answer = await fetch(publishUrl(), { method: "POST", headers: credentials, body: $("publish-data").value });
    const body = parse(await answer.text());
    if (answer.ok) {
      const unheard = TOPICS.includes(topic) ? "" : " This page does not listen to that topic.";
      say(result, `Published as ${body?.id} to ${plural(body?.subscribers ?? 0, "subscriber")}.${unheard}`, "good");
    } else {
      const error = body?.error ?? `The server answered ${answer.status}.`;
      // Errors begin with the field: "topic contains ' ' at byte 3".
      const field = /^(topic|event|data)\b/.exec(error)?.[1];
      if (field) $(`publish-${field}`).setAttribute("aria-invalid", "true");
      say(result, error, "bad");
    }
  } catch {
    say(result, "The server cannot be reached.", "bad");
  }
});

function showCurl() {
  // Whoever may use a terminal has the token there. It is not shown here.
  const authorization = token ? ` -H "authorization: Bearer $TIDINGS_TOKEN"` : "";
  const data = $("publish-data").value.replaceAll("'", `'\\''`);
  $("curl").textContent = `curl${authorization} --data-raw '${data}' '${publishUrl().href.replaceAll("'", "%27")}'`;
}
$("publish-form").addEventListener("input", showCurl);
showCurl();

// The wire: the last events as they came.
const WIRE_ROWS = 8;
let held = false;

function showOnWire(name, event) {
  if (held) return;
  const li = make("li");
  li.dataset.event = name;
  // In an id `<epoch>-<position>`, the position changes. If there is little room, the
  // epoch is cut off.
  const [, epoch, position] = /^(.*?)(-?\d*)$/.exec(event.lastEventId);
  const id = make("span", "wire-id");
  id.append(make("span", "epoch", epoch), make("span", "position", position));
  li.append(
    make("span", "wire-name", name),
    id,
    make("span", "wire-data", event.data.slice(0, 240)),
  );
  const list = $("wire-list");
  list.append(li);
  while (list.children.length > WIRE_ROWS) list.firstElementChild.remove();
}

$("wire-hold").addEventListener("click", () => {
  held = !held;
  $("wire-hold").setAttribute("aria-pressed", String(held));
});

// The clients are not on the stream, so we ask every two seconds.
const MAX_CLIENT_ROWS = 50;

async function refreshClients() {
  if (document.hidden) return;
  try {
    const answer = await fetch("/clients", { headers: credentials });
    if (!answer.ok) throw new Error(answer.status === 401 ? "the server asks for a token" : "the server cannot tell");
    const { total, topics, clients } = await answer.json();
    $("clients-total").textContent = total;
    $("clients-topics").textContent = Object.entries(topics).map(([topic, n]) => `${n} on ${topic}`).join(", ");
    $("clients").replaceChildren(...clients.slice(0, MAX_CLIENT_ROWS).map((client) => {
      const row = make("tr", client.id === clientId ? "me" : "");
      row.append(
        make("td", "", client.id),
        make("td", "", client.remote_addr ?? ""),
        make("td", "", client.topics.join(", ")),
        make("td", "num", `${Math.round(client.connected_ms / 1000)} s`),
        make("td", "num", client.events_sent),
      );
      return row;
    }));
    $("clients-more").textContent = clients.length > MAX_CLIENT_ROWS ? `and ${clients.length - MAX_CLIENT_ROWS} more` : "";
  } catch (error) {
    $("clients-total").textContent = "–";
    $("clients-topics").textContent = error instanceof TypeError ? "the server cannot be reached" : error.message;
    $("clients").replaceChildren();
  }
}
setInterval(refreshClients, 2000);


// 7. The chart --------------------------------------------------------------

// The price is the surface of the water. Time moves to the left. We draw a
// quarter of a second late, so that there is always a next tick to move to. While
// the connection is cut, the water is flat. The replayed ticks then rise inside
// the band that marks the cut.
const TICK_MS = 200;
const DELAY_MS = 260;
const KEEP_MS = 60_000;
const RISE_MS = 650;
const LABEL_TOP = 10;
const MOST_LINES = 40;

const chart = (() => {
  const canvas = $("chart");
  const g = canvas.getContext("2d");
  let points = [];       // { t, v, from?, born? }: time, value; a replayed one rises from `from`
  let cuts = [];         // { from, to, lines }
  let width = 0, height = 0, colors = {}, hatch = null;
  let low = null, high = null;   // the range shown, follows the prices slowly
  let onScreen = true;

  const gutter = () => (width < 720 ? 44 : 104);
  const headX = () => width - gutter();
  const pxPerMs = () => (width < 720 ? 0.027 : 0.056);
  const span = () => headX() / pxPerMs();
  const last = () => points[points.length - 1];

  function add(v) {
    const now = performance.now();
    const t = Math.max(now, (last()?.t ?? 0) + 1);
    points.push({ t, v });
    points = points.filter((p) => p.t > now - KEEP_MS);
    cuts = cuts.filter((c) => c.to === null || c.to > now - KEEP_MS);
  }

  function seed(prices, end) {
    points = prices.map((v, i) => ({ t: end - (prices.length - 1 - i) * TICK_MS, v }));
  }

  function clear() {
    points = [];
    cuts = [];
    low = high = null;
  }

  function cutStarts() {
    if (last()) cuts.push({ from: last().t, to: null, start: performance.now(), label: [] });
  }

  function cutEnds(prices, away, events, end) {
    const now = performance.now();
    const cut = cuts[cuts.length - 1];
    const before = last();
    const from = before?.t ?? end - prices.length * TICK_MS;
    prices.forEach((v, i) => {
      const part = (i + 1) / prices.length;
      points.push({ t: from + part * (end - from), v, from: before?.v ?? v, born: now + part * RISE_MS });
    });
    if (cut && cut.to === null) {
      cut.to = end;
      cut.label = [`cut ${seconds(away ?? end - cut.start)}`, `${plural(events, "event")} replayed`];
    }
  }

  const oldestVisible = () => {
    const left = performance.now() - DELAY_MS - span();
    return points.find((p) => p.t >= left);
  };

  /** The value that is drawn for a point now. */
  function level(p, now) {
    if (p.born === undefined || calm.matches) return p.v;
    const x = Math.min(1, Math.max(0, (now - p.born) / RISE_MS));
    return p.from + (p.v - p.from) * (1 - (1 - x) ** 3);
  }

  // A monotone cubic through the points: smooth, and never outside of the range of
  // two neighbours. Returns a function of time; call it with rising times.
  function curve(ps, now) {
    const n = ps.length;
    const y = ps.map((p) => level(p, now));
    const d = [], m = new Array(n).fill(0);
    for (let i = 0; i < n - 1; i++) d.push((y[i + 1] - y[i]) / (ps[i + 1].t - ps[i].t));
    for (let i = 1; i < n - 1; i++) m[i] = d[i - 1] * d[i] <= 0 ? 0 : 2 * d[i - 1] * d[i] / (d[i - 1] + d[i]);
    let i = 0;
    return (t) => {
      if (t <= ps[0].t) return y[0];
      if (t >= ps[n - 1].t) return y[n - 1];
      while (ps[i + 1].t < t) i++;
      const h = ps[i + 1].t - ps[i].t, s = (t - ps[i].t) / h, s2 = s * s, s3 = s2 * s;
      return (2 * s3 - 3 * s2 + 1) * y[i] + (s3 - 2 * s2 + s) * h * m[i] + (3 * s2 - 2 * s3) * y[i + 1] + (s3 - s2) * h * m[i + 1];
    };
  }

  function draw() {
    const now = performance.now();
    const tHead = now - DELAY_MS;
    const xHead = headX();
    const k = pxPerMs();
    const x = (t) => xHead + (t - tHead) * k;
    const timeAt = (px) => tHead + (px - xHead) / k;

    g.clearRect(0, 0, width, height);
    const left = tHead - span() - 1000;
    const ps = points.filter((p) => p.t >= left);
    const tail = ps.length > 0 ? ps[0].t : null;

    // The range: what is visible, never narrower than half a percent.
    let lo = Infinity, hi = -Infinity;
    for (const p of ps) {
      const v = level(p, now);
      lo = Math.min(lo, v);
      hi = Math.max(hi, v);
    }
    if (ps.length === 0) { lo = hi = 100; }
    const least = 0.005 * Math.max(Math.abs(lo), Math.abs(hi)) || 1;
    const room = Math.max(0, least - (hi - lo)) / 2;
    lo -= room;
    hi += room;
    const ease = low === null || calm.matches ? 1 : 0.06;
    low = (low ?? lo) + (lo - (low ?? lo)) * ease;
    high = (high ?? hi) + (hi - (high ?? hi)) * ease;
    const yTop = 84, yBottom = height * 0.68;
    const y = (v) => yBottom - (v - low) / (high - low) * (yBottom - yTop);

    // The surface, sampled every two pixels; flat after the last point.
    const at = ps.length > 0 ? curve(ps, now) : () => 100;
    const path = [];
    for (let px = 0; px < xHead; px += 2) path.push([px, y(at(timeAt(px)))]);
    const yHead = y(at(tHead));
    path.push([xHead, yHead]);

    grid(colors.grid, colors.inkSoft);

    const water = new Path2D();
    water.moveTo(0, height);
    for (const [px, py] of path) water.lineTo(px, py);
    water.lineTo(width, yHead);
    water.lineTo(width, height);
    water.closePath();
    const depth = g.createLinearGradient(0, yTop, 0, height);
    depth.addColorStop(0, colors.seaSurface);
    depth.addColorStop(1, colors.seaDeep);
    g.fillStyle = depth;
    g.fill(water);

    g.save();
    g.clip(water);
    grid(colors.gridSea, "rgb(255 255 255 / .75)");
    g.restore();

    for (const cut of cuts) band(cut, now);
    times();

    // The line along the surface: dashed before the first point and after the last.
    const open = cuts.find((c) => c.to === null);
    const xEnd = open ? Math.min(xHead, x(open.from)) : xHead;
    g.lineJoin = "round";
    g.lineWidth = 2.25;
    g.strokeStyle = colors.line;
    if (tail !== null) {
      g.beginPath();
      for (const [px, py] of path) if (px >= x(tail) && px <= xEnd) g.lineTo(px, py);
      g.stroke();
      g.save();
      g.setLineDash([2, 6]);
      g.lineCap = "round";
      g.strokeStyle = open ? colors.buoy : colors.line;
      g.globalAlpha = open ? 1 : 0.45;
      g.beginPath();
      g.moveTo(xEnd, yHead);
      g.lineTo(open ? xHead : width, yHead);
      if (!open && x(tail) > 0) {
        g.moveTo(x(tail), path[0][1]);
        g.lineTo(0, path[0][1]);
      }
      g.stroke();
      g.restore();
    }

    // A dot for each replayed tick.
    g.fillStyle = colors.buoy;
    for (const p of ps) {
      if (p.born === undefined || p.t > tHead || (now < p.born && !calm.matches)) continue;
      g.beginPath();
      g.arc(x(p.t), y(level(p, now)), 3, 0, 7);
      g.fill();
    }

    // The buoy: the last point. Hollow while we do not know where it is.
    if (tail !== null) {
      g.beginPath();
      g.arc(xHead, yHead, open ? 7 : 8.5, 0, 7);
      g.fillStyle = open ? colors.skyLow : colors.buoy;
      g.fill();
      g.lineWidth = 3;
      g.strokeStyle = open ? colors.buoy : colors.skyLow;
      g.stroke();
    }

    function grid(stroke, ink) {
      g.strokeStyle = stroke;
      g.fillStyle = ink;
      g.lineWidth = 1;
      g.font = `12.5px ${colors.sans}`;
      g.textBaseline = "alphabetic";
      if (ps.length > 0) {
        const rough = (high - low) / 3;
        const unit = 10 ** Math.floor(Math.log10(rough));
        const step = unit * [1, 2, 5, 10].find((f) => f * unit >= rough);
        g.textAlign = "right";
        const perPixel = (high - low) / (yBottom - yTop);
        const bottom = low - (height - 60 - yBottom) * perPixel;
        const first = Math.ceil(bottom / step);
        for (let line = 0; line < MOST_LINES; line++) {
          const v = (first + line) * step;
          const gy = Math.round(y(v)) + 0.5;
          if (v > high + step / 2 || gy < yTop - 20) break;
          g.beginPath();
          g.moveTo(0, gy);
          g.lineTo(width, gy);
          g.stroke();
          // Not where the surface would cross the number.
          if (Math.abs(gy - 10 - yHead) > 13) g.fillText(v.toFixed(step < 0.1 ? 2 : 1), width - 10, gy - 6);
        }
      }
    }

    function times() {
      g.font = `12.5px ${colors.sans}`;
      g.fillStyle = "rgb(255 255 255 / .8)";
      g.textBaseline = "alphabetic";
      g.textAlign = "center";
      for (let s = 5; s * 1000 * k < xHead - 20; s += 5) g.fillText(`${s} s ago`, xHead - s * 1000 * k, height - 16);
      g.fillText("now", xHead, height - 16);
    }

    function band(cut, now) {
      const x0 = x(cut.from);
      const x1 = cut.to === null ? xHead : Math.min(xHead, x(cut.to));
      if (x1 < 0 || x1 <= x0) return;
      const wide = x1 - x0;
      g.save();
      g.translate(x0, LABEL_TOP);      // so the hatching moves with the band
      g.fillStyle = colors.buoy;
      g.globalAlpha = 0.13;
      g.fillRect(0, 0, wide, height);
      g.globalAlpha = 0.26;
      g.fillStyle = hatch;
      g.fillRect(0, 0, wide, height);
      g.globalAlpha = 1;
      g.fillStyle = colors.buoy;
      g.fillRect(0, 0, 1.5, height);
      if (cut.to !== null && x(cut.to) <= xHead) g.fillRect(wide - 1.5, 0, 1.5, height);
      g.restore();

      // It fades in the deep water.
      const fade = g.createLinearGradient(0, height * 0.72, 0, height);
      fade.addColorStop(0, `${colors.seaDeep}00`);      // #rrggbb and no alpha
      fade.addColorStop(1, colors.seaDeep);
      g.fillStyle = fade;
      g.fillRect(x0, height * 0.72, wide, height);

      // The label is at the band's left edge, or left of its right edge if it would
      // leave the chart.
      const [first, second] = cut.to === null ? [`cut ${seconds(now - cut.start)}`, "waiting to resume"] : cut.label;
      g.font = `650 14px ${colors.sans}`;
      const room = Math.max(g.measureText(first).width, g.measureText(second).width) + 20;
      const lx = Math.min(x0, width - room - 8);
      g.fillStyle = colors.buoy;
      g.beginPath();
      g.roundRect(lx, LABEL_TOP, room, 48, [0, 8, 8, 0]);
      g.fill();
      g.fillStyle = colors.onBuoy;
      g.textAlign = "left";
      g.textBaseline = "alphabetic";
      g.fillText(first, lx + 10, LABEL_TOP + 20);
      g.font = `14px ${colors.sans}`;
      g.fillText(second, lx + 10, LABEL_TOP + 38);
    }
  }

  function resize() {
    const ratio = Math.max(1, devicePixelRatio || 1);
    width = canvas.clientWidth;
    height = canvas.clientHeight;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    readColors();
    draw();
  }

  // The canvas takes its colours from the style sheet, so it follows the theme.
  function readColors() {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(name).trim();
    colors = {
      inkSoft: read("--ink-soft"), grid: read("--grid"), gridSea: read("--grid-sea"), line: read("--line"),
      seaSurface: read("--sea-surface"), seaDeep: read("--sea-deep"), skyLow: read("--sky-low"),
      buoy: read("--buoy"), onBuoy: read("--on-buoy"), sans: read("--sans"),
    };
    const tile = document.createElement("canvas");
    tile.width = tile.height = 12;
    const c = tile.getContext("2d");
    c.strokeStyle = colors.buoy;
    c.lineWidth = 1.5;
    for (const shift of [-12, 0, 12]) {
      c.moveTo(shift, 12);
      c.lineTo(shift + 12, 0);
    }
    c.stroke();
    hatch = g.createPattern(tile, "repeat");
  }

  function loop() {
    if (onScreen && !calm.matches) draw();
    requestAnimationFrame(loop);
  }

  function start() {
    new ResizeObserver(resize).observe(canvas);
    new IntersectionObserver(([entry]) => { onScreen = entry.isIntersecting; }).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", resize);
    resize();
    loop();
    // Reduced motion: a new picture once a second.
    setInterval(() => { if (calm.matches) draw(); }, 1000);
  }

  return { add, seed, clear, cutStarts, cutEnds, oldestVisible, start };
})();


chart.start();
updateCutButton();
enter();
refreshClients();
