/**
 * The first bytes of a connection: TLS for us, TLS for somebody else, or plain HTTP on the wrong port.
 * @module
 */
import type { Snapshot } from "../snapshot/snapshot.ts";
import type { PassOnHandler } from "./handlers/handler.ts";
import { HelloPeek } from "./passthrough.ts";
import { mayBeginPlainHttp, PlainHttp } from "./plain-http.ts";
import type { PassOn } from "./session-host.ts";

export type Opened =
  /** Plain HTTP: the whole answer. */
  | { readonly answer: Uint8Array }
  /** All bytes so far, for whoever answers: `handler` where they are passed on under `name`, else our own TLS. */
  | { readonly bytes: Uint8Array; readonly handler: PassOnHandler; readonly name: string }
  | { readonly bytes: Uint8Array; readonly handler: undefined };

/** Whether the first byte settles it: nearly always, where no site is passed on. */
export function isOurs(byte: number, passOn: PassOn | undefined): boolean {
  return passOn === undefined && !mayBeginPlainHttp(byte);
}

/** Holds bytes from which it cannot be told yet what is spoken, or to whom. */
export class Opening {
  readonly #snapshot: Snapshot;
  readonly #passOn: PassOn | undefined;
  #reader: PlainHttp | HelloPeek | undefined;

  constructor(snapshot: Snapshot, passOn: PassOn | undefined) {
    this.#snapshot = snapshot;
    this.#passOn = passOn;
  }

  /** Undefined: more is needed. */
  receive(bytes: Uint8Array): Opened | undefined {
    const reader = this.#reader ??= mayBeginPlainHttp(bytes[0]!)
      ? new PlainHttp(this.#snapshot)
      : new HelloPeek(this.#snapshot.server.limits.maxClientHello);
    if (reader instanceof PlainHttp) {
      const answer = reader.receive(bytes);
      return answer && { answer };
    }
    const peeked = reader.receive(bytes);
    if (peeked === undefined) return undefined;
    const { name } = peeked;
    const handler = name === undefined ? undefined : this.#passOn?.(name, this.#snapshot);
    return handler === undefined
      ? { bytes: peeked.bytes, handler }
      : { bytes: peeked.bytes, handler, name: name! };
  }
}
