// A browser comes back after a connection that ended inside the response's head if the content type had arrived, and gives
// up if it had not.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";

import { launch } from "./launch.mjs";

const START = "HTTP/1.1 200 OK\r\n";
const TYPE = "content-type: text/event-stream; charset=utf-8\r\n";
const OTHERS = "transfer-encoding: chunked\r\ncache-control: no-cache, no-transform\r\n";
const COMES_BACK = [START + TYPE, START + TYPE + OTHERS, START + OTHERS + TYPE];
const GIVES_UP = ["HTTP/", START, START + TYPE.slice(0, 20), START + OTHERS.slice(0, 43), START + OTHERS];

let head;
const server = createServer((socket) => {
  socket.on("error", () => {});
  socket.once("data", (request) => {
    const isStream = request.toString().startsWith("GET /events");
    socket.end(isStream ? head : "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
  });
});
server.listen(0, "127.0.0.1");
await once(server, "listening");

const browser = await launch();
process.on("SIGTERM", () => browser.close().finally(() => process.exit(1)));
try {
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  for (head of [...COMES_BACK, ...GIVES_UP]) {
    const comesBack = await page.evaluate(() => new Promise((resolve) => {
      const source = new EventSource("/events");
      source.onerror = () => {
        resolve(source.readyState === EventSource.CONNECTING);
        source.close();
      };
    }));
    assert.equal(comesBack, COMES_BACK.includes(head), head);
  }
} finally {
  await browser.close();
  server.close();
}
