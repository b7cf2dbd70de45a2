/**
 * What stands behind a TLS connection once it is established.
 * @module
 */
import type { Negotiated } from "../../tls/output.ts";

/** One per site. */
export interface Handler {
  readonly kind: "respond" | "redirect" | "app" | "forward";
  /** ALPN protocols that it speaks, best first. */
  readonly alpn: readonly string[];
  /** Called when the handshake is done. */
  open(stream: Stream, facts: ConnectionFacts): HandlerConnection;
}

/** For connections that are not ours to decrypt. */
export interface PassOnHandler {
  /** `stream` carries the connection as it comes, from its first byte on; `name` is the one in its ClientHello. */
  openEncrypted(stream: Stream, endpoints: Endpoints, name: string): HandlerConnection;
}

/** The handler's side of one connection: what the peer does. */
export interface HandlerConnection {
  /** `bytes[start, end)` decrypted; valid only during the call. */
  data(bytes: Uint8Array, start: number, end: number): void;
  /** That was all that had come: comes after one or more `data`, before anything waits. */
  flush?(): void;
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
  /** close_notify behind what was written, and the end: what the peer still sends is discarded. */
  end(): void;
  /** close_notify behind what was written; the peer's data goes on to come, until `end` or `abort`. */
  endWrite(): void;
  /** Ends the connection, and not in good order: what was sent is not the whole of it. */
  abort(): void;
  /** Stops and resumes `data`, and with it the peer. */
  pause(): void;
  resume(): void;
}

/** Both ends of a TCP connection. */
export interface Endpoints {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
}

export interface ConnectionFacts extends Negotiated, Endpoints {
  /** True: the name is the ECH public name and no site of its own: 421 and close (policy §8.3). */
  readonly publicNameOnly: boolean;
  /** Does the shown certificate cover this name, and may it be asked for over this connection (policy §7.5, §8.5)? */
  mayServe(host: string): boolean;
  /** What answers for a name that may be served here: of another site, its own. Undefined: 421. */
  handlerOf(host: string): Handler | undefined;
}
