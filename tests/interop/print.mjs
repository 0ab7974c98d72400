// The protocol of the drivers: one event, one line.

import { writeSync } from "node:fs";

/** Prints an event synchronously, so that nothing is lost at the end. */
export function print(event, data, id) {
  const line = Buffer.from(JSON.stringify({ event, data, id }) + "\n");
  for (let at = 0; at < line.length;) {
    try {
      at += writeSync(1, line, at);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;   // a full pipe
    }
  }
}
