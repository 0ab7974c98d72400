// What a test set up is taken down in the opposite order, so that a page is gone before the hub
// that it listens to. (`t.after` alone runs the oldest first.)

const stacks = new WeakMap();

/** Has `undo` run at the end of the test `t`, before everything that was deferred earlier. */
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
