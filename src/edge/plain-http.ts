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

/** One request as it comes in. */
export class PlainHttp {
  readonly #snapshot: Snapshot;
  #head = "";

  constructor(snapshot: Snapshot) {
    this.#snapshot = snapshot;
  }

  /** The whole answer, after which the connection is to end; undefined: the head is not whole yet. */
  receive(bytes: Uint8Array): Uint8Array | undefined {
    for (const byte of bytes.subarray(0, MAX_HEAD_BYTES)) this.#head += String.fromCharCode(byte);
    const end = this.#head.indexOf("\r\n\r\n");
    if (end !== -1) return this.#answer(this.#head.slice(0, end));
    const mayGoOn = MAY_BE_REQUEST.test(this.#head.split("\n", 1)[0]!);
    return mayGoOn && this.#head.length < MAX_HEAD_BYTES ? undefined : BAD_REQUEST;
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
/** A request line, or the beginning of one. */
const MAY_BE_REQUEST =
  /^[A-Za-z]{1,20}(?: [\x21-\x7e]*(?: (?:HTTP\/1\.[01]\r?|H?T{0,2}P?\/?1?\.?))?)?$/;

const ascii = new TextEncoder();
const TEXT = "This port speaks HTTPS: use https:// in place of http://\n";

const BAD_REQUEST: Uint8Array = ascii.encode(
  "HTTP/1.1 400 Bad Request\r\n" +
    "Content-Type: text/plain; charset=utf-8\r\n" +
    `Content-Length: ${TEXT.length}\r\n` +
    "Connection: close\r\n\r\n" +
    TEXT,
);
