/** Listeners by a name, each with the arguments of its name. One that throws stops no other. */
export class Listeners<Arguments extends { [Name in keyof Arguments]: unknown[] }> {
  readonly #sets = new Map<PropertyKey, Set<{ call: (...args: unknown[]) => void }>>();

  /** Returns what removes it. The same function twice is two listeners. */
  add<Name extends keyof Arguments>(name: Name, call: (...args: Arguments[Name]) => void): () => void {
    let set = this.#sets.get(name);
    if (!set) this.#sets.set(name, (set = new Set()));
    const listener = { call: call as (...args: unknown[]) => void };
    set.add(listener);
    return () => void set.delete(listener);
  }

  has(name: keyof Arguments): boolean {
    return (this.#sets.get(name)?.size ?? 0) > 0;
  }

  names(): (keyof Arguments)[] {
    return [...this.#sets.keys()] as (keyof Arguments)[];
  }

  call<Name extends keyof Arguments>(name: Name, ...args: Arguments[Name]): void {
    for (const { call } of [...(this.#sets.get(name) ?? [])]) {
      try {
        call(...args);
      } catch (error) {
        // As an event target does: it is reported, and the stream goes on.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
