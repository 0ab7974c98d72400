// The script of /rendered. The page shows the events up to an id; the stream goes on right after it.

// When something else answers than the hub, such as a proxy with 502, we try again, this often.
const TRY_AGAIN_MS = 4000;

const list = document.getElementById("events");
const url = new URL(list.dataset.stream, location.href);
let source = null;
let timer = 0;

function connect() {
  source = new EventSource(url);
  for (const name of list.dataset.names.split("\n")) source.addEventListener(name, onEvent);
  source.addEventListener("tidings:status", onStatus);
  source.addEventListener("error", onError);
}

function onEvent({ data, lastEventId }) {
  // EventSource has own events named `open` and `error`, without data.
  if (data === undefined) return;
  // Where a new EventSource goes on.
  url.searchParams.set("lastEventId", lastEventId);
  const line = document.createElement("li");
  line.textContent = data;
  list.append(line);
}

function onStatus({ data }) {
  // The server has lost what came after the page was rendered: render it again.
  if (JSON.parse(data).status === "reset") renderAgain();
}

function onError({ data }) {
  if (data !== undefined || source.readyState !== EventSource.CLOSED) return;
  // EventSource has given up.
  timer = setTimeout(whenThere, TRY_AGAIN_MS, url, connect);
}

/** Reloads the page, but not in order to show a proxy's. */
function renderAgain() {
  source.close();
  whenThere(location.href, () => location.reload());
}

/** Calls a function when the server answers with 200. 204 says that all topics are finished: nothing is to come. */
async function whenThere(address, then) {
  const answer = await fetch(address).catch(() => undefined);
  answer?.body?.cancel();   // it may be a stream
  if (answer?.status === 200) then();
  else if (answer?.status !== 204) timer = setTimeout(whenThere, TRY_AGAIN_MS, address, then);
}

connect();

// A page that was left may live on in the browser's cache, and its stream with it.
addEventListener("pagehide", () => {
  clearTimeout(timer);
  source.close();
});
addEventListener("pageshow", (event) => { if (event.persisted) renderAgain(); });
