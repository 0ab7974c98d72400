// The script of /rendered. The page shows the events up to an id; the stream goes on right after it.

const list = document.getElementById("events");
const source = new EventSource(list.dataset.stream);

for (const name of list.dataset.names.split("\n")) {
  source.addEventListener(name, ({ data }) => {
    // EventSource has own events named `open` and `error`, without data.
    if (data === undefined) return;
    const line = document.createElement("li");
    line.textContent = data;
    list.append(line);
  });
}

source.addEventListener("tidings:status", ({ data }) => {
  // The server has lost what came after the page was rendered: render it again.
  if (JSON.parse(data).status === "reset") location.reload();
});

// A page that was left may live on in the browser's cache, and its stream with it.
addEventListener("pagehide", () => source.close());
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
