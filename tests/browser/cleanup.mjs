// Cleans up in reverse order, so that a page is closed before its hub ends. (`t.after` alone runs the oldest first.)

const stacks = new WeakMap();

/** Runs `undo` at the end of the test `t`, before everything that was deferred earlier. */
export function defer(t, undo) {
  const stack = stacks.get(t) ?? [];
  if (!stacks.has(t)) {
    stacks.set(t, stack);
    t.after(async () => {
      const errors = [];
      while (stack.length > 0) await Promise.resolve().then(stack.pop()).catch((error) => errors.push(error));
      if (errors.length > 0) throw errors[0];
    });
  }
  stack.push(undo);
}
