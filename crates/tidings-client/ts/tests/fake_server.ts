import { vi } from "vitest";

/** A response that a test writes. */
export class Answer {
  readonly request: Request;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  readonly response: Response;

  constructor(request: Request, { status = 200, headers = {} }: { status?: number; headers?: Record<string, string> } = {}) {
    this.request = request;
    const body = new ReadableStream<Uint8Array>({ start: (controller) => { this.#controller = controller; } });
    request.signal.addEventListener("abort", () => this.fail(request.signal.reason));
    const all = { "content-type": "text/event-stream", ...headers };
    this.response = new Response([204, 304].includes(status) ? null : body, { status, headers: all });
  }

  /** Whether the client has ended it. */
  get isAborted(): boolean {
    return this.request.signal.aborted;
  }

  get lastEventId(): string | null {
    return this.request.headers.get("last-event-id");
  }

  send(text: string): void {
    this.#controller.enqueue(new TextEncoder().encode(text));
  }

  status(status: object, id: string): void {
    this.send(`event: tidings:status\ndata: ${JSON.stringify(status)}\nid: ${id}\n\n`);
  }

  /** As a hub begins. */
  begin(id = "e-1", status: object = { status: "fresh", client: "c" }, retry = 1_000): void {
    this.send(`retry: ${retry}\n\n`);
    this.status(status, id);
  }

  end(): void {
    this.#controller.close();
  }

  fail(error: unknown = new TypeError("network error")): void {
    try {
      this.#controller.error(error);
    } catch {
      // It has ended.
    }
  }
}

type Plan = "stream" | "network error" | "silence" | { status: number; headers?: Record<string, string> };

/** A server whose answers a test plans; a stream unless it has said something else. */
export class FakeServer {
  readonly plans: Plan[] = [];
  readonly answers: Answer[] = [];

  readonly fetch = vi.fn<typeof fetch>(async (input, init) => {
    const request = new Request(new URL(String(input), "http://hub.test"), init as RequestInit);
    const plan = this.plans.shift() ?? "stream";
    if (plan === "network error") throw new TypeError("fetch failed");
    if (plan === "silence") {
      return new Promise<Response>((_, reject) => request.signal.addEventListener("abort", () => reject(request.signal.reason)));
    }
    const answer = new Answer(request, plan === "stream" ? {} : plan);
    this.answers.push(answer);
    return answer.response;
  });

  /** The last stream. */
  get last(): Answer {
    return this.answers.at(-1) as Answer;
  }
}
