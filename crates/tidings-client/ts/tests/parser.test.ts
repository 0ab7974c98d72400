// The vectors of the core, which are after the WHATWG HTML standard.

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { EventStreamParser } from "../parser.ts";

interface Found {
  event: string;
  data: string;
  id: string;
}

interface Vector {
  name: string;
  stream: string;
  events: { event?: string; data: string; id?: string; retry?: number }[];
}

const file = new URL("../../../tidings/tests/wire-vectors.json", import.meta.url);
const vectors: { decode: Vector[]; encode: { name: string }[] } = JSON.parse(readFileSync(file, "utf8"));

/** What a parser makes of these pieces. */
function parse(pieces: Iterable<Uint8Array>): { events: Found[]; retries: number[] } {
  const events: Found[] = [];
  const retries: number[] = [];
  let last = "";
  const parser = new EventStreamParser({
    event: ({ event, data, id }) => {
      last = id ?? last;
      events.push({ event, data, id: last });
    },
    id: (id) => { last = id; },
    retry: (ms) => retries.push(ms),
  });
  const decoder = new TextDecoder();
  for (const piece of pieces) parser.feed(decoder.decode(piece, { stream: true }));
  return { events, retries };
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("the vectors of event streams", () => {
  test.each(vectors.decode)("$name", ({ stream, events }) => {
    const all = bytes(stream);
    // A field that a vector does not name may be anything.
    const expected = events.map((event) => expect.objectContaining({ event: "message", ...event }));
    expect(parse([all]).events).toEqual(expected);
    expect(parse([...all].map((byte) => Uint8Array.of(byte))).events, "byte by byte").toEqual(expected);
    for (let at = 1; at < all.length; at++) {
      expect(parse([all.subarray(0, at), all.subarray(at)]).events, `cut at ${at}`).toEqual(expected);
    }
  });

  test("are all there", () => {
    expect(vectors.decode.length).toBeGreaterThanOrEqual(18);
  });
});

test("a retry is digits only", () => {
  expect(parse([bytes("retry: 12\nretry:007\nretry: 1e3\nretry: -1\nretry\nretry: 3 \n\n")]).retries).toEqual([12, 7]);
});

test("an event is there as soon as its last line has ended, also by a CR", () => {
  expect(parse([bytes("data: a\r\r")]).events).toHaveLength(1);
  expect(parse([bytes("data: a\r\n\r")]).events).toHaveLength(1);
  expect(parse([bytes("data: a\r"), bytes("\n\r"), bytes("\n\n\ndata: b\n\n")]).events.map(({ data }) => data)).toEqual(["a", "b"]);
});

test("a large event in small pieces is put together once", () => {
  const data = "x".repeat(1 << 20);
  const all = bytes(`data: ${data}\n\n`);
  const pieces = Array.from({ length: Math.ceil(all.length / 4096) }, (_, i) => all.subarray(i * 4096, (i + 1) * 4096));
  expect(parse(pieces).events).toEqual([{ event: "message", data, id: "" }]);
});
