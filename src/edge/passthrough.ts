/**
 * Connections that are not ours to decrypt: they go on as they came, to the upstream that the name in their hello has.
 *
 * That name is the server_name of the hello as it was sent. A client that hides its name by ECH shows the public name
 * there, so a site that is passed on can be told apart by its own name only where it has no ECH, or has its own.
 *
 * @module
 */
import type { Output } from "../tls/output.ts";
import { TlsError } from "../tls/error.ts";
import { type ClientHello, parseClientHello } from "../tls/wire/client-hello.ts";
import { ContentType, ExtensionType, HandshakeType } from "../tls/wire/code-points.ts";
import { isHostName } from "../tls/wire/host-name.ts";
import { Reader } from "../tls/wire/reader.ts";
import { latin1 } from "../tls/wire/vectors.ts";

/** Reads as far as the name and decides nothing: whoever gets the connection reads it again, and judges it. */
export class HelloPeek {
  readonly #maxBytes: number;
  #bytes = new Uint8Array(0);
  #length = 0;
  /** Where the next record begins. */
  #recordAt = 0;
  /** The handshake message, from as many records as it takes. */
  #message = new Uint8Array(0);
  #filled = 0;

  /** `maxClientHello`: of its body, in bytes. */
  constructor(maxClientHello: number) {
    this.#maxBytes = maxClientHello + MESSAGE_HEADER;
  }

  /**
   * Undefined: the hello is not whole. Else all bytes so far, and the name in them, lower-cased; it is undefined where
   * there is none, or no hello that could be read.
   */
  receive(bytes: Uint8Array): Peeked | undefined {
    this.#keep(bytes);
    let name: string | undefined;
    try {
      const message = this.#readRecords();
      if (message === undefined) return undefined;
      name = serverNameOf(parseClientHello(message));
    } catch (error) {
      // Not ours to answer: the server that gets these bytes finds the same fault.
      if (!(error instanceof TlsError)) throw error;
    }
    return { bytes: this.#bytes.subarray(0, this.#length), name };
  }

  /** The whole ClientHello. @throws {TlsError} these bytes do not begin with one */
  #readRecords(): Uint8Array | undefined {
    for (;;) {
      const left = this.#length - this.#recordAt;
      if (left > 0 && this.#bytes[this.#recordAt] !== ContentType.handshake) {
        throw new TlsError("unexpected record");
      }
      if (left < RECORD_HEADER) return undefined;
      const record = new Reader(this.#bytes, this.#recordAt + RECORD_HEADER - 2, this.#length);
      const size = record.u16();
      if (size === 0 || size > MAX_RECORD) throw new TlsError("record overflow");
      if (left < RECORD_HEADER + size) return undefined;
      this.#append(record.bytes(size));
      this.#recordAt += RECORD_HEADER + size;
      if (this.#filled < MESSAGE_HEADER) continue;
      const header = new Reader(this.#message);
      if (header.u8() !== HandshakeType.client_hello) throw new TlsError("unexpected message");
      const end = MESSAGE_HEADER + header.u24();
      if (end > this.#maxBytes) throw new TlsError("message too long");
      if (this.#filled >= end) return this.#message.subarray(0, end);
    }
  }

  #append(content: Uint8Array): void {
    this.#message = withRoom(this.#message, this.#filled, content.length);
    this.#message.set(content, this.#filled);
    this.#filled += content.length;
  }

  #keep(bytes: Uint8Array): void {
    if (this.#length === 0) {
      this.#bytes = bytes as Uint8Array<ArrayBuffer>; // the runtime gives it away
    } else {
      this.#bytes = withRoom(this.#bytes, this.#length, bytes.length);
      this.#bytes.set(bytes, this.#length);
    }
    this.#length += bytes.length;
  }
}

export interface Peeked {
  readonly bytes: Uint8Array;
  readonly name: string | undefined;
}

const RECORD_HEADER = 5;
const MAX_RECORD = 16384;
const MESSAGE_HEADER = 4;

function withRoom(
  bytes: Uint8Array<ArrayBuffer>,
  filled: number,
  more: number,
): Uint8Array<ArrayBuffer> {
  if (filled + more <= bytes.length) return bytes;
  const larger = new Uint8Array(Math.max(2 * bytes.length, filled + more));
  larger.set(bytes.subarray(0, filled));
  return larger;
}

/** RFC 6066 §3, of any version of TLS. */
function serverNameOf(hello: ClientHello): string | undefined {
  const body = hello.body(ExtensionType.server_name);
  if (body === undefined) return undefined;
  const list = new Reader(body).vector16(1);
  while (list.left > 0) {
    const type = list.u8();
    const name = list.vector16(1).rest();
    if (type !== HOST_NAME) continue;
    const length = name.at(-1) === 0x2e ? name.length - 1 : name.length;
    if (!isHostName(name, 0, length)) return undefined;
    return latin1(name, 0, length).toLowerCase();
  }
  return undefined;
}

const HOST_NAME = 0;

/** Stands where a session has its ServerConnection, and leaves every byte as it is. */
export class PlainConnection {
  readonly wantsInput = true;
  readonly ech = undefined;
  readonly #out: Pick<Output, "send" | "plaintext">;

  constructor(out: Pick<Output, "send" | "plaintext">) {
    this.#out = out;
  }

  receive(bytes: Uint8Array): void {
    this.#out.plaintext(bytes, 0, bytes.length);
  }
  send(bytes: Uint8Array, start: number, end: number): void {
    this.#out.send(bytes, start, end);
  }
  /** The FIN behind it is the session's. */
  closeWrite(): void {}
  fail(): void {}
  flushed(): void {}
  flushTickets(): void {}
}
