/** When to try again. All times are in milliseconds. */
export interface Backoff {
  /** The longest delay, but for what a server asks for itself. 30,000 by default. */
  readonly max: number;
  /** What delays grow from, where the server has not said a `retry`. 1,000 by default. */
  readonly first: number;
}

/** The longest time of a timer: a longer one ends at once. */
export const LONGEST_TIMER: number = 2 ** 31 - 1;

/**
 * The delay before the next attempt, after so many that have brought nothing.
 *
 * A server's `retry` is the least: a hub gives each client one of its own. What is added doubles with each failure, and is random
 * in full: clients that failed at the same moment must not come back at the same moment.
 */
export function delay(failures: number, retry: number | undefined, { max, first }: Backoff): number {
  const least = retry ?? 0;
  const most = Math.min(max, (retry || first) * 2 ** Math.min(failures, 30));
  return least + Math.random() * Math.max(0, most - least);
}
