/** Events between a stream and a `for await`. */
export class EventQueue<T> implements AsyncIterator<T, undefined> {
  readonly #events: T[] = [];
  #waiting: { resolve: (result: IteratorResult<T, undefined>) => void; reject: (error: unknown) => void }[] = [];
  #end: { error: unknown } | undefined;
  onReturn: () => void = () => {};

  push(event: T): void {
    if (this.#end) return;
    const first = this.#waiting.shift();
    if (first) first.resolve({ done: false, value: event });
    else this.#events.push(event);
  }

  /** After what it has. */
  end(error?: unknown): void {
    if (this.#end) return;
    this.#end = { error };
    for (const { resolve, reject } of this.#waiting.splice(0)) this.#finish(resolve, reject);
  }

  next(): Promise<IteratorResult<T, undefined>> {
    return new Promise((resolve, reject) => {
      if (this.#events.length > 0) resolve({ done: false, value: this.#events.shift() as T });
      else if (this.#end) this.#finish(resolve, reject);
      else this.#waiting.push({ resolve, reject });
    });
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this.onReturn();
    this.#events.length = 0;
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  #finish(resolve: (result: IteratorResult<T, undefined>) => void, reject: (error: unknown) => void): void {
    const error = this.#end?.error;
    // An error is thrown once.
    this.#end = { error: undefined };
    this.onReturn();
    if (error === undefined) resolve({ done: true, value: undefined });
    else reject(error);
  }
}
