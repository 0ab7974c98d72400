// The checker of every resume test: the numbers 1, 2, 3 … must arrive in this order.

import assert from "node:assert/strict";

/**
 * What is wrong with `seen`, given that `first` to `last` were published in order.
 *
 * @param {number[]} seen  the numbers, in the order in which they arrived
 * @returns {{missing: number[], doubled: number[], late: number[], strange: unknown[]}}
 *   `late` arrived after a higher one; `strange` was never published
 */
export function flaws(seen, first, last) {
  const times = new Map();
  const late = [];
  const strange = [];
  let highest = -Infinity;
  for (const n of seen) {
    if (!Number.isInteger(n) || n < first || n > last) {
      strange.push(n);
      continue;
    }
    const before = times.get(n) ?? 0;
    times.set(n, before + 1);
    if (before === 0 && n < highest) late.push(n);
    highest = Math.max(highest, n);
  }
  const missing = [];
  for (let n = first; n <= last; n++) if (!times.has(n)) missing.push(n);
  const doubled = [...times].filter(([, count]) => count > 1).map(([n]) => n);
  return { missing, doubled, late, strange };
}

export function assertContinuous(seen, first, last) {
  const none = { missing: [], doubled: [], late: [], strange: [] };
  assert.deepEqual(flaws(seen, first, last), none);
}
