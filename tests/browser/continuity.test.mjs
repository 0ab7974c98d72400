// The checker must find flaws where there are some.

import assert from "node:assert/strict";
import { test } from "node:test";

import { assertContinuous, flaws } from "./continuity.mjs";

const none = { missing: [], doubled: [], late: [], strange: [] };

test("numbers without a gap have no flaw", () => {
  assert.deepEqual(flaws([1, 2, 3, 4], 1, 4), none);
  assert.deepEqual(flaws([7], 7, 7), none);
  assertContinuous([5, 6, 7], 5, 7);
});

test("a lost number is missing, at the beginning, in the middle and at the end", () => {
  assert.deepEqual(flaws([2, 3, 4], 1, 4), { ...none, missing: [1] });
  assert.deepEqual(flaws([1, 4], 1, 4), { ...none, missing: [2, 3] });
  assert.deepEqual(flaws([1, 2, 3], 1, 4), { ...none, missing: [4] });
  assert.deepEqual(flaws([], 1, 2), { ...none, missing: [1, 2] });
  assert.throws(() => assertContinuous([1, 2, 4], 1, 4), /missing/);
});

test("a number that comes again is doubled", () => {
  assert.deepEqual(flaws([1, 2, 2, 3], 1, 3), { ...none, doubled: [2] });
  assert.deepEqual(flaws([1, 2, 3, 2, 2], 1, 3), { ...none, doubled: [2] });
  assert.throws(() => assertContinuous([1, 2, 3, 1], 1, 3), /doubled/);
});

test("a number after a higher one is late, and not missing", () => {
  assert.deepEqual(flaws([1, 3, 2, 4], 1, 4), { ...none, late: [2] });
  assert.throws(() => assertContinuous([2, 1], 1, 2), /late/);
});

test("what was never published is strange", () => {
  assert.deepEqual(flaws([1, 2, 9, undefined], 1, 2), { ...none, strange: [9, undefined] });
  assert.throws(() => assertContinuous([1, NaN], 1, 1), /strange/);
});
