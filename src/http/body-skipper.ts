/**
 * Finds the end of a request's body without keeping any of it (RFC 9112 §6, §7.1).
 * @module
 */
import { HttpError } from "./request-head.ts";

/** What is left of one body. */
export class BodySkipper {
  #step: Step;
  /** Bytes of the body, or of the chunk, still to come. */
  #left: number;
  #budget: number;
  #lineLength = 0;
  #hexDigits = 0;
  #lineEnding = false;

  /** @throws {HttpError} 413 */
  constructor(body: number | "chunked", maxBytes: number) {
    if (body !== "chunked" && body > maxBytes) throw new HttpError(413, "body too large");
    this.#budget = maxBytes;
    this.#step = body === "chunked" ? "size" : body === 0 ? "done" : "content";
    this.#left = body === "chunked" ? 0 : body;
  }

  get done(): boolean {
    return this.#step === "done";
  }

  /**
   * Passes over what belongs to the body; the result is where it stopped: `end`, or behind the body.
   * @throws {HttpError} 400 chunks that are none; 413 more than was agreed
   */
  skip(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    while (at < end && this.#step !== "done") {
      if (this.#step === "content" || this.#step === "chunk") {
        const length = Math.min(this.#left, end - at);
        at += length;
        this.#left -= length;
        if (this.#left > 0) break;
        this.#step = this.#step === "content" ? "done" : "chunk end";
      } else {
        this.#byte(bytes[at++]!);
      }
    }
    return at;
  }

  /** One byte of a line. Every line ends with CRLF, both. */
  #byte(byte: number): void {
    if (this.#lineEnding) {
      if (byte !== LF) throw new HttpError(400, "bare CR");
      this.#lineEnding = false;
      this.#lineDone();
      return;
    }
    if (byte === CR) {
      this.#lineEnding = true;
      return;
    }
    if (byte === LF || byte === 0) throw new HttpError(400, "bare LF or NUL");
    if (this.#step === "chunk end") throw new HttpError(400, "chunk too long");
    if (++this.#lineLength > MAX_LINE) throw new HttpError(400, "chunk line too long");
    if (this.#step === "size") this.#sizeByte(byte);
  }

  #sizeByte(byte: number): void {
    const digit = hexDigit(byte);
    if (digit >= 0) {
      this.#hexDigits++;
      this.#left = this.#left * 16 + digit;
      if (this.#left > this.#budget) throw new HttpError(413, "body too large");
      return;
    }
    // Extensions are allowed and mean nothing.
    if (byte !== SEMICOLON || this.#hexDigits === 0) throw new HttpError(400, "bad chunk size");
    this.#step = "extension";
  }

  #lineDone(): void {
    const length = this.#lineLength;
    this.#lineLength = 0;
    switch (this.#step) {
      case "size":
      case "extension":
        if (this.#hexDigits === 0) throw new HttpError(400, "bad chunk size");
        this.#hexDigits = 0;
        this.#spend(this.#left + length);
        this.#step = this.#left === 0 ? "trailer" : "chunk";
        break;
      case "chunk end":
        this.#step = "size";
        break;
      case "trailer":
        this.#spend(length);
        if (length === 0) this.#step = "done";
        break;
      case "content":
      case "chunk":
      case "done":
        break; // no lines there
    }
  }

  /** Chunk lines and trailers count too: else an endless body could be made of them. */
  #spend(bytes: number): void {
    this.#budget -= bytes;
    if (this.#budget < 0) throw new HttpError(413, "body too large");
  }
}

type Step = "content" | "size" | "extension" | "chunk" | "chunk end" | "trailer" | "done";

const CR = 0x0d;
const LF = 0x0a;
const SEMICOLON = 0x3b;
/** Of a chunk's size with its extensions, and of a trailer. */
const MAX_LINE = 1024;

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
