/**
 * What somebody hears who speaks plain HTTP to the HTTPS port (policy §3.9): where to go, if the name is one of ours,
 * else what is wrong.
 * @module
 */
import type { Snapshot } from "../snapshot/snapshot.ts";
import { parseWanted, redirects } from "./redirect.ts";

/** No TLS record begins with a letter; every request of HTTP does. */
export function mayBeginPlainHttp(byte: number): boolean {
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x7a;
}

/** One request as it comes in, in whatever pieces: each byte is looked at a few times at most. */
export class PlainHttp {
  /** Bytes looked at so far, counted each time; for tests. */
  looked = 0;
  readonly #snapshot: Snapshot;
  #head = new Uint8Array(0);
  #length = 0;
  /** Of the first line, its LF included; undefined: it goes on. */
  #lineLength: number | undefined;
  #nextLook = 0;

  constructor(snapshot: Snapshot) {
    this.#snapshot = snapshot;
  }

  /** The whole answer, after which the connection is to end; undefined: the head is not whole yet. */
  receive(bytes: Uint8Array): Uint8Array | undefined {
    const before = this.#length;
    this.#keep(bytes.subarray(0, MAX_HEAD_BYTES));
    const end = this.#findEnd(before);
    if (end !== undefined) return this.#answer(this.#text(end));
    return this.#mayGoOn() && this.#length < MAX_HEAD_BYTES ? undefined : BAD_REQUEST;
  }

  #keep(bytes: Uint8Array): void {
    const length = this.#length + bytes.length;
    if (length > this.#head.length) {
      const roomy = new Uint8Array(Math.max(length, this.#head.length * 2));
      roomy.set(this.#head);
      this.#head = roomy;
    }
    this.#head.set(bytes, this.#length);
    this.#length = length;
  }

  /** Where the empty line begins, CR LF before it included, if it ends behind `from`; notes where the first line ends. */
  #findEnd(from: number): number | undefined {
    const head = this.#head;
    for (let at = from; at < this.#length; at++) {
      this.looked++;
      if (head[at] !== LF) continue;
      this.#lineLength ??= at + 1;
      if (at >= 3 && head[at - 1] === CR && head[at - 2] === LF && head[at - 3] === CR) {
        return at - 3;
      }
    }
    return undefined;
  }

  /** A line that goes on is looked at again only when it has doubled, unless it is short. */
  #mayGoOn(): boolean {
    if (this.#length < this.#nextLook) return true;
    const isWhole = this.#lineLength !== undefined;
    this.#nextLook = isWhole ? Infinity : this.#length < SHORT ? 0 : this.#length * 2;
    const length = isWhole ? this.#lineLength! - 1 : this.#length;
    this.looked += length;
    return MAY_BE_REQUEST.test(this.#text(length));
  }

  #text(end: number): string {
    return latin1.decode(this.#head.subarray(0, end));
  }

  #answer(head: string): Uint8Array {
    const wanted = parseWanted(head);
    if (wanted === undefined) return BAD_REQUEST;
    const { host: { host, port }, target } = wanted;
    if (!redirects(this.#snapshot.findText(host), host)) return BAD_REQUEST;
    const name = host.includes(":") ? `[${host}]` : host;
    // The port that led here is the one of HTTPS.
    const place = port === undefined || port === 443 ? name : `${name}:${port}`;
    return ascii.encode(
      "HTTP/1.1 308 Permanent Redirect\r\n" +
        `Location: https://${place}${target}\r\n` +
        "Content-Length: 0\r\nConnection: close\r\n\r\n",
    );
  }
}

const MAX_HEAD_BYTES = 8192;
const SHORT = 64;
const CR = 0x0d;
const LF = 0x0a;
/** A request line, or the beginning of one. */
const MAY_BE_REQUEST =
  /^[A-Za-z]{1,20}(?: [\x21-\x7e]*(?: (?:HTTP\/1\.[01]\r?|H?T{0,2}P?\/?1?\.?))?)?$/;

const ascii = new TextEncoder();
const latin1 = new TextDecoder("latin1");
const TEXT = "This port speaks HTTPS: use https:// in place of http://\n";

const BAD_REQUEST: Uint8Array = ascii.encode(
  "HTTP/1.1 400 Bad Request\r\n" +
    "Content-Type: text/plain; charset=utf-8\r\n" +
    `Content-Length: ${TEXT.length}\r\n` +
    "Connection: close\r\n\r\n" +
    TEXT,
);
