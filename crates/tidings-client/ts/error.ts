/**
 * What went wrong:
 *
 * - `network`: there was no answer, or it broke off.
 * - `refused`: the status was neither 200 nor 204; it is in `status`.
 * - `content-type`: the answer was not an event stream.
 * - `silent`: nothing came for so long that the connection was given up.
 * - `token`: the application's `token` failed.
 * - `decode`: the data of an event could not be decoded for a listener of `on`. Elsewhere, reading `event.data` throws.
 * - `unsupported`: the transport cannot do what the options ask for.
 */
export type ErrorKind = "unsupported" | "network" | "refused" | "content-type" | "silent" | "token" | "decode";

export class TidingsError extends Error {
  override readonly name = "TidingsError";
  readonly kind: ErrorKind;
  /** The HTTP status, of the kinds `refused` and `content-type`. */
  readonly status: number | undefined;

  constructor(kind: ErrorKind, message: string, { status, cause }: { status?: number; cause?: unknown } = {}) {
    super(message, { cause });
    this.kind = kind;
    this.status = status;
  }
}
