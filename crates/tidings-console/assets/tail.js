// Reads an event stream with `fetch`: an EventSource cannot listen to events of all names.

/**
 * Yields the events of a stream, as `{ type, data, lastEventId }`, until it ends.
 *
 * Throws an `Error` with `status` if the answer is no stream.
 */
export async function* read(url, signal) {
  const response = await fetch(url, { signal });
  if (response.status === 204) throw Object.assign(new Error("the topic is finished"), { status: 204 });
  if (!response.ok) {
    const reason = await response.json().then(({ error }) => error, () => `the server answered ${response.status}`);
    throw Object.assign(new Error(reason), { status: response.status });
  }
  let lastEventId = "";
  let event = { type: "", data: [] };
  let rest = "";
  for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
    // The hub ends lines with LF alone.
    const lines = (rest + text).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        const { type, data } = event;
        if (data.length > 0) yield { type: type || "message", data: data.join("\n"), lastEventId };
        event = { type: "", data: [] };
        continue;
      }
      const colon = line.indexOf(":");
      const name = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (name === "data") event.data.push(value);
      else if (name === "event") event.type = value;
      else if (name === "id") lastEventId = value;
    }
  }
}
