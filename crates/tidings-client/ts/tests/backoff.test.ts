import { afterEach, expect, test, vi } from "vitest";
import { delay } from "../backoff.ts";

const backoff = { max: 30_000, first: 1_000 };
/** The least and the most. */
const range = (failures: number, retry?: number): [number, number] => {
  const at = (part: number): number => {
    vi.spyOn(Math, "random").mockReturnValue(part);
    return delay(failures, retry, backoff);
  };
  return [at(0), at(1)];
};

afterEach(() => vi.restoreAllMocks());

test("a server's retry is kept exactly after a connection that has brought something", () => {
  expect(range(0, 2_890)).toEqual([2_890, 2_890]);
});

test("what is added to it after failures is random in full, and doubles", () => {
  expect(range(1, 3_000)).toEqual([3_000, 6_000]);
  expect(range(2, 3_000)).toEqual([3_000, 12_000]);
});

test("it ends at a maximum, which a server's retry may exceed", () => {
  expect(range(9, 3_000)).toEqual([3_000, 30_000]);
  expect(range(1e6, 3_000)).toEqual([3_000, 30_000]);
  expect(range(3, 60_000)).toEqual([60_000, 60_000]);
});

test("without a retry, or with one of 0, it is random from the beginning", () => {
  expect(range(0)).toEqual([0, 1_000]);
  expect(range(3)).toEqual([0, 8_000]);
  expect(range(1, 0)).toEqual([0, 2_000]);
});
