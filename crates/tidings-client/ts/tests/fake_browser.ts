import type { TabsEnvironment } from "../tab.ts";
import type { Random } from "./random.ts";

/** Locks and channels of one origin. */
export class FakeBrowser {
  readonly #random: Random;
  readonly #locks = new Map<string, Request[]>();
  readonly #channels = new Set<FakeChannel>();

  constructor(random: Random) {
    this.#random = random;
  }

  tab(): FakeTab {
    return new FakeTab(this);
  }

  request(tab: FakeTab, name: string, options: LockOptions, callback: LockGrantedCallback<unknown>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const request: Request = { tab, callback, resolve, reject, isHeld: false };
      let queue = this.#locks.get(name);
      if (!queue) this.#locks.set(name, (queue = []));
      options.signal?.addEventListener("abort", () => {
        if (request.isHeld || !queue.includes(request)) return;
        queue.splice(queue.indexOf(request), 1);
        reject(new DOMException("aborted", "AbortError"));
      });
      if (options.signal?.aborted) return reject(new DOMException("aborted", "AbortError"));
      if (options.steal) {
        const robbed = queue.filter(({ isHeld }) => isHeld);
        for (const { reject } of robbed) reject(new DOMException("stolen", "AbortError"));
        queue.splice(0, robbed.length);
        queue.unshift(request);
      } else {
        queue.push(request);
      }
      this.#grant(name);
    });
  }

  #grant(name: string): void {
    const queue = this.#locks.get(name) ?? [];
    const first = queue[0];
    if (!first || first.isHeld) return;
    first.isHeld = true;
    setTimeout(async () => {
      if (queue[0] !== first) return;
      const result = await first.callback({ name, mode: "exclusive" });
      if (queue[0] !== first) return;
      queue.shift();
      first.resolve(result);
      this.#grant(name);
    }, this.#random.below(5));
  }

  /** The end of a tab's process: its locks are free, and nothing of it is heard. */
  kill(tab: FakeTab): void {
    for (const [name, queue] of this.#locks) {
      const rest = queue.filter((request) => request.tab !== tab);
      queue.splice(0, queue.length, ...rest);
      this.#grant(name);
    }
    for (const channel of this.#channels) if (channel.tab === tab) this.#channels.delete(channel);
  }

  add(channel: FakeChannel): void {
    this.#channels.add(channel);
  }

  remove(channel: FakeChannel): void {
    this.#channels.delete(channel);
  }

  /** In the order of one sender; those of two senders may pass each other. */
  post(from: FakeChannel, data: unknown): void {
    if (!this.#channels.has(from)) return;
    for (const to of this.#channels) {
      if (to === from || to.name !== from.name) continue;
      const copy = structuredClone(data);
      const due = Math.max(Date.now() + this.#random.below(15), from.due.get(to) ?? 0);
      from.due.set(to, due);
      setTimeout(() => {
        // A message on its way arrives, also when its sender is gone.
        if (this.#channels.has(to) && !to.tab.isFrozen) to.onmessage?.({ data: copy } as MessageEvent);
      }, due - Date.now());
    }
  }
}

interface Request {
  tab: FakeTab;
  callback: LockGrantedCallback<unknown>;
  resolve: (result: unknown) => void;
  reject: (error: unknown) => void;
  isHeld: boolean;
}

class FakeChannel {
  readonly #browser: FakeBrowser;
  readonly tab: FakeTab;
  readonly name: string;
  readonly due = new Map<FakeChannel, number>();
  onmessage: ((event: MessageEvent) => void) | null = null;

  constructor(browser: FakeBrowser, tab: FakeTab, name: string) {
    this.#browser = browser;
    this.tab = tab;
    this.name = name;
    browser.add(this);
  }

  postMessage(data: unknown): void {
    if (!this.tab.isFrozen) this.#browser.post(this, data);
  }

  close(): void {
    this.#browser.remove(this);
  }
}

export class FakeTab {
  readonly #browser: FakeBrowser;
  /** It says and hears nothing, and keeps its locks. */
  isFrozen = false;
  isVisible = false;

  constructor(browser: FakeBrowser) {
    this.#browser = browser;
  }

  readonly environment = (): TabsEnvironment => ({
    locks: {
      request: ((name: string, options: LockOptions, callback: LockGrantedCallback<unknown>) =>
        this.#browser.request(this, name, options, callback)) as LockManager["request"],
    },
    isVisible: () => this.isVisible,
    channel: (name) => new FakeChannel(this.#browser, this, name) as unknown as BroadcastChannel,
  });

  kill(): void {
    this.#browser.kill(this);
  }
}
