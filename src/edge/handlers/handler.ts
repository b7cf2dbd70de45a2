/**
 * What stands behind a TLS connection once it is established.
 * @module
 */
import type { Negotiated } from "../../tls/output.ts";

/** One per site. */
export interface Handler {
  readonly kind: "respond" | "app";
  /** ALPN protocols that it speaks, best first. */
  readonly alpn: readonly string[];
  /** Called when the handshake is done. */
  open(stream: Stream, facts: ConnectionFacts): HandlerConnection;
}

/** The handler's side of one connection: what the peer does. */
export interface HandlerConnection {
  /** `bytes[start, end)` decrypted; valid only during the call. */
  data(bytes: Uint8Array, start: number, end: number): void;
  /** The peer's close_notify (or FIN): nothing more comes; answers may still go. */
  end(): void;
  /** After `write` said false: there is room again. */
  drain(): void;
  /** The connection is gone. Comes once and last. */
  close(): void;
}

/** What a handler may do with one connection. */
export interface Stream {
  /** Encrypts and sends `bytes[start, end)`, all of it; false: wait for `drain` before more. */
  write(bytes: Uint8Array, start: number, end: number): boolean;
  /** close_notify behind what was written. */
  end(): void;
  /** Ends the connection at once. */
  abort(): void;
  /** Stops and resumes `data`, and with it the peer. */
  pause(): void;
  resume(): void;
}

export interface ConnectionFacts extends Negotiated {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  /** True: the name is the ECH public name and no site of its own: 421 and close (policy §8.3). */
  readonly publicNameOnly: boolean;
  /** Does the shown certificate cover this name, and may it be asked for over this connection (policy §7.5, §8.5)? */
  mayServe(host: string): boolean;
}
