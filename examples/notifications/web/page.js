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

/** @param {string} path @param {Record<string, string>} [fields] */
const post = (path, fields) => fetch(path, { method: "POST", body: new URLSearchParams(fields) });

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
  $("#read").onclick = () => post("/read", { id: notices.get().all.at(-1)?.id ?? "" });
  $("#logout").onclick = async () => {
    client.close();
    await post("/logout");
    location.reload();
  };
}

/** @param {string} kind @param {string} text */
function element(kind, text) {
  return Object.assign(document.createElement(kind), { textContent: text });
}

$("#notify").onsubmit = (event) => {
  event.preventDefault();
  post(`/notify/${field("to").value}`, { text: field("text").value });
  field("text").value = "";
};
$("#login").onsubmit = async (event) => {
  event.preventDefault();
  const { ok } = await post("/login", { user: field("user").value, password: field("password").value });
  if (ok) return location.reload();
  field("password").setCustomValidity("User or password is wrong");
  field("password").reportValidity();
};
$("#login").oninput = () => field("password").setCustomValidity("");

fetch("/me").then(async (me) => {
  if (me.ok) show(await me.text());
  else $("#login").hidden = false;
});
