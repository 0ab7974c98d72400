// @ts-check
// The page's script. `tsc` checks it against topics.ts, which is what the server's `Notice` gives.

/** @import { StreamUrl } from "tidings-client" */
/** @import { Topics } from "./topics" */

/** @typedef {Topics["user:*"]["notification"] & { id: string | undefined }} Shown */
/** @typedef {{ all: Shown[], read: number }} Notices */

/** A user's stream: 401 when somebody else is logged in. @type {(user: string) => StreamUrl<Topics["user:*"]>} */
const events = (user) => `/events/${user}`;

const $ = (/** @type {string} */ selector) => /** @type {HTMLElement} */ (document.querySelector(selector));
const field = (/** @type {string} */ name) => /** @type {HTMLInputElement} */ ($(`[name=${name}]`));

/**
 * The answer, if there is one.
 *
 * @param {string} path
 * @param {Record<string, string>} [fields]
 */
const post = (path, fields) => fetch(path, { method: "POST", body: new URLSearchParams(fields) }).catch(() => undefined);

/** Whether it was done. If not, the page says so. */
const isDone = (/** @type {Response | undefined} */ answer) => ($("#failed").hidden = answer?.ok === true);

function show(/** @type {string} */ user) {
  $("section").hidden = false;
  $("h2").textContent = `For ${user}`;
  // All tabs of a user have one connection.
  const client = tidings.connect(events(user), { transport: tidings.tabs({ name: `notifications of ${user}` }) });
  const notices = tidings.createStore(client, {
    initial: /** @type {Notices} */ ({ all: [], read: 0 }),
    on: {
      notification: ({ all, read }, { from, text }, { id }) => ({ all: [...all, { from, text, id }], read }),
      read: ({ all, read }, id) => ({ all, read: Math.max(read, all.findIndex((one) => one.id === id) + 1) }),
    },
  });
  notices.subscribe(({ all, read }) => {
    const rows = all.map(({ from, text }, n) => {
      const row = document.createElement("li");
      row.className = n < read ? "read" : "";
      row.append(element("span", text), element("small", from));
      return row;
    });
    $("ul").replaceChildren(...rows.reverse());
    $("#unread").textContent = String(all.length - read);
    $("#unread").hidden = all.length === read;
    document.title = all.length === read ? "Notifications" : `(${all.length - read}) Notifications`;
  });
  client.onState((state) => { $("#state").textContent = state; $("#state").className = state; });
  // Logged out, here or elsewhere, and maybe somebody else is logged in.
  client.onError(({ status }) => { if (status === 401) location.reload(); });
  $("#read").onclick = async () => {
    const { all, read } = notices.get();
    if (read < all.length) isDone(await post("/read", { id: all.at(-1)?.id ?? "" }));
  };
  $("#logout").onclick = async () => {
    if (!isDone(await post("/logout"))) return;
    client.close();
    location.reload();
  };
}

/** @param {string} kind @param {string} text */
function element(kind, text) {
  return Object.assign(document.createElement(kind), { textContent: text });
}

$("#notify").onsubmit = async (event) => {
  event.preventDefault();
  const text = field("text").value;
  const answer = await post(`/notify/${field("to").value}`, { text });
  // One may write the next one meanwhile.
  if (isDone(answer) && field("text").value === text) field("text").value = "";
};
$("#login").onsubmit = async (event) => {
  event.preventDefault();
  const answer = await post("/login", { user: field("user").value, password: field("password").value });
  if (answer?.status === 401) {
    field("password").setCustomValidity("User or password is wrong");
    field("password").reportValidity();
  } else if (isDone(answer)) location.reload();
};
$("#login").oninput = () => field("password").setCustomValidity("");

async function begin() {
  const me = await fetch("/me").catch(() => undefined);
  if (me?.ok) show(await me.text());
  else if (me?.status === 401) $("#login").hidden = false;
  else setTimeout(begin, 3_000);   // a phone that wakes up has no network yet
}
begin();
