/**
 * HTTP/1.x requests out of a stream of bytes, one after the other; their bodies are passed over.
 * @module
 */
import { Buffer } from "node:buffer";
import { BodySkipper } from "./body-skipper.ts";
import { HttpError, parseRequestHead, type RequestHead } from "./request-head.ts";

export interface HttpLimits {
  /** Request line and fields, bytes. Reached: 431. */
  readonly maxHeadBytes: number;
  /** Reached: 431. */
  readonly maxHeaderFields: number;
  /** Of a body that is only passed over. Reached: 413. */
  readonly maxSkippedBody: number;
}

export const DEFAULT_HTTP_LIMITS: HttpLimits = {
  maxHeadBytes: 16 * 1024,
  maxHeaderFields: 100,
  maxSkippedBody: 1024 * 1024,
};

export interface RequestSink {
  /** A head with `Expect: 100-continue` was read: say 100, or the client may wait for long. */
  expected(head: RequestHead): void;
  /** A request was read, with its body. False: no further one, until `receive` is called again. */
  request(head: RequestHead): boolean;
}

export class RequestReader {
  readonly #limits: HttpLimits;
  /** The beginning of a head that is not whole: `#partial[0, #length)`. */
  #partial: Uint8Array | undefined;
  #length = 0;
  #head: RequestHead | undefined;
  #body: BodySkipper | undefined;

  constructor(limits: HttpLimits) {
    this.#limits = limits;
  }

  /** Nothing of a request has come, or it has been read whole. */
  get isIdle(): boolean {
    return this.#length === 0 && this.#head === undefined;
  }

  /**
   * Reads from `bytes[start, end)`; the result is where it stopped: `end`, unless the sink said so earlier.
   * @throws {HttpError} the answer to give; nothing more can be read then
   */
  receive(bytes: Uint8Array, start: number, end: number, sink: RequestSink): number {
    let at = start;
    while (at < end) {
      if (this.#head === undefined) {
        at = this.#readHead(bytes, at, end);
        const head = this.#head as RequestHead | undefined;
        if (head === undefined) return end;
        if (head.expectsContinue && !this.#body!.done) sink.expected(head);
      } else {
        at = this.#body!.skip(bytes, at, end);
      }
      if (!this.#body!.done) continue;
      const head = this.#head!;
      this.#head = undefined;
      this.#body = undefined;
      if (!sink.request(head)) return at;
    }
    return at;
  }

  /** Sets `#head` and `#body` if a head is whole; the result is where it ends. Else keeps what there is. */
  #readHead(bytes: Uint8Array, start: number, end: number): number {
    if (this.#length === 0) {
      const headEnd = endOfHead(bytes, start, end, start);
      if (headEnd >= 0) return this.#parse(bytes, start, headEnd);
    }
    const seen = this.#length;
    const length = seen + end - start;
    this.#partial = grown(this.#partial, length);
    this.#partial.set(bytes.subarray(start, end), seen);
    const headEnd = endOfHead(this.#partial, 0, length, Math.max(0, seen - 1));
    if (headEnd < 0) {
      this.#length = length;
      if (length > this.#limits.maxHeadBytes) throw new HttpError(431, "head too large");
      return end;
    }
    const partial = this.#partial;
    this.#partial = undefined;
    this.#length = 0;
    this.#parse(partial, 0, headEnd);
    return start + headEnd - seen;
  }

  #parse(bytes: Uint8Array, start: number, end: number): number {
    if (end - start > this.#limits.maxHeadBytes) throw new HttpError(431, "head too large");
    const from = start + emptyLineBefore(bytes, start);
    const text = BUFFER_METHODS.latin1Slice.call(bytes, from, end - 4);
    this.#head = parseRequestHead(text, this.#limits.maxHeaderFields);
    this.#body = new BodySkipper(this.#head.body, this.#limits.maxSkippedBody);
    return end;
  }
}

/** Of any Uint8Array, without a Buffer around it: that one costs eight times as much, on Bun. */
const BUFFER_METHODS = Buffer.prototype as unknown as {
  latin1Slice(this: Uint8Array, start: number, end: number): string;
};

/** Offset behind the empty line that ends the head in `bytes[start, end)`, or -1. Looks at `from` and on. */
function endOfHead(bytes: Uint8Array, start: number, end: number, from: number): number {
  const first = start + emptyLineBefore(bytes, start);
  for (let at = bytes.indexOf(LF, from); at >= 0 && at < end; at = bytes.indexOf(LF, at + 1)) {
    if (at === start || bytes[at - 1] !== CR) throw new HttpError(400, "bare LF");
    if (at - 3 >= first && bytes[at - 2] === LF) return at + 1;
  }
  return -1;
}

/** An empty line before a request is a mistake of old clients that RFC 9112 §2.2 forgives. */
function emptyLineBefore(bytes: Uint8Array, start: number): 0 | 2 {
  return bytes[start] === CR && bytes[start + 1] === LF ? 2 : 0;
}

function grown(buffer: Uint8Array | undefined, length: number): Uint8Array {
  if (buffer !== undefined && buffer.length >= length) return buffer;
  const larger = new Uint8Array(Math.max(1024, 2 * length));
  if (buffer !== undefined) larger.set(buffer);
  return larger;
}

const CR = 0x0d;
const LF = 0x0a;
