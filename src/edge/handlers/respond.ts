/**
 * `respond = "text"`: one text for every request, in HTTP/1.1. Also what answers on the ECH public name.
 * @module
 */
import { HttpError, type RequestHead } from "../../http/request-head.ts";
import {
  DEFAULT_HTTP_LIMITS,
  type HttpLimits,
  RequestReader,
  type RequestSink,
} from "../../http/request-reader.ts";
import type { ConnectionFacts, Handler, HandlerConnection, Stream } from "./handler.ts";
import { PIECE_BYTES } from "./piece.ts";

export class RespondHandler implements Handler {
  readonly kind: "respond" | "redirect" = "respond";
  readonly alpn = ["http/1.1"];
  readonly limits: HttpLimits;
  readonly body: Uint8Array;
  readonly #answers = new Map<Connection, Uint8Array>();
  /** In seconds. */
  #builtAt = -1;

  constructor(text: string, limits: HttpLimits = DEFAULT_HTTP_LIMITS) {
    this.body = new TextEncoder().encode(text);
    this.limits = limits;
  }

  open(stream: Stream, facts: ConnectionFacts): HandlerConnection {
    return new RespondConnection(this, stream, facts);
  }

  /** Head and, where it is small, body: built once a second for each `connection`, for the Date. */
  answer(connection: Connection, _head: RequestHead): Uint8Array {
    const second = Math.floor(Date.now() / 1000);
    if (second !== this.#builtAt) {
      this.#builtAt = second;
      this.#answers.clear();
    }
    let answer = this.#answers.get(connection);
    if (answer === undefined) {
      const head = this.#head(connection);
      answer = new Uint8Array(head.length + (this.bodyRidesAlong ? this.body.length : 0));
      answer.set(head);
      if (this.bodyRidesAlong) answer.set(this.body, head.length);
      this.#answers.set(connection, answer);
    }
    return answer;
  }

  get bodyRidesAlong(): boolean {
    return this.body.length <= FIRST_PIECE_BYTES;
  }

  #head(connection: Connection): Uint8Array {
    const field = connection === "" ? "" : `Connection: ${connection}\r\n`;
    return new TextEncoder().encode(
      "HTTP/1.1 200 OK\r\n" +
        "Content-Type: text/plain; charset=utf-8\r\n" +
        `Content-Length: ${this.body.length}\r\n` +
        `Date: ${new Date().toUTCString()}\r\n${field}\r\n`,
    );
  }
}

/** The answer's Connection field; "": none, which in HTTP/1.1 means that it persists. */
export type Connection = "" | "keep-alive" | "close";

/** With the head before it, in a record of its own. */
const FIRST_PIECE_BYTES = PIECE_BYTES - 1024;

/** Idle connections are many: eight fields fit into 80 bytes on Bun, nine take 112. */
class RespondConnection implements HandlerConnection, RequestSink {
  readonly #handler: RespondHandler;
  readonly #stream: Stream;
  readonly #facts: ConnectionFacts;
  /** Undefined between two requests. */
  #reader: RequestReader | undefined;
  /** Of the answer that is under way, and where its next piece begins. */
  #body: { readonly bytes: Uint8Array; at: number } | undefined;
  /** The stream wants no more just now. */
  #full = false;
  /** What came while an answer was under way. */
  #rest: Uint8Array | undefined;
  /** "peer ended": what came before may hold more requests. */
  #phase: "open" | "peer ended" | "last answer" | "ended" = "open";

  constructor(handler: RespondHandler, stream: Stream, facts: ConnectionFacts) {
    this.#handler = handler;
    this.#stream = stream;
    this.#facts = facts;
  }

  data(bytes: Uint8Array, start: number, end: number): void {
    if (this.#phase === "ended") return;
    if (this.#busy) this.#keep(bytes, start, end);
    else this.#read(bytes, start, end);
  }

  end(): void {
    if (this.#phase === "open") this.#phase = "peer ended";
    if (!this.#busy && this.#phase !== "ended") this.#end();
  }

  drain(): void {
    this.#full = false;
    this.#sendBody();
    while (this.#rest !== undefined && !this.#busy && this.#phase !== "ended") {
      if (this.#phase === "last answer") return this.#end();
      const rest = this.#rest;
      this.#rest = undefined;
      this.#read(rest, 0, rest.length);
    }
    if (this.#busy || this.#phase === "ended") return;
    if (this.#phase === "open") this.#stream.resume();
    else this.#end();
  }

  close(): void {
    this.#phase = "ended";
  }

  /** RequestSink */
  expected(): void {
    this.#write(CONTINUE, 0, CONTINUE.length);
  }

  /** RequestSink. False ends the reading: an answer is under way, or was the last. */
  request(head: RequestHead): boolean {
    const { publicNameOnly } = this.#facts;
    // HTTP/1.0 without a Host asks for the name of the hello.
    const handler = head.host === undefined ? this.#handler : this.#facts.handlerOf(head.host.host);
    // Another site's server is not reached from here: the client is to come again.
    if (publicNameOnly || !(handler instanceof RespondHandler)) {
      this.#refuse(421);
      return false;
    }
    if (!head.keepAlive) this.#phase = "last answer";
    const persists = head.minorVersion === 1 ? "" : "keep-alive";
    const opening = handler.answer(head.keepAlive ? persists : "close", head);
    const withBody = handler.bodyRidesAlong;
    if (head.method === "HEAD" && withBody) {
      this.#write(opening, 0, opening.length - handler.body.length);
    } else {
      this.#write(opening, 0, opening.length);
      if (!withBody && head.method !== "HEAD") this.#body = { bytes: handler.body, at: 0 };
    }
    this.#sendBody(FIRST_PIECE_BYTES);
    if (this.#busy) return false;
    if (this.#phase === "last answer") this.#end();
    return this.#phase !== "ended";
  }

  get #busy(): boolean {
    return this.#full || this.#body !== undefined;
  }

  #read(bytes: Uint8Array, start: number, end: number): void {
    try {
      this.#reader ??= new RequestReader(this.#handler.limits);
      const at = this.#reader.receive(bytes, start, end, this);
      if (this.#reader.isIdle) this.#reader = undefined;
      if (at < end && this.#phase !== "ended") this.#keep(bytes, at, end);
    } catch (error) {
      if (!(error instanceof HttpError)) throw error;
      this.#refuse(this.#facts.publicNameOnly ? 421 : error.status);
    }
  }

  #keep(bytes: Uint8Array, start: number, end: number): void {
    const before = this.#rest ?? new Uint8Array(0);
    this.#rest = new Uint8Array(before.length + end - start);
    this.#rest.set(before);
    this.#rest.set(bytes.subarray(start, end), before.length);
    this.#stream.pause();
  }

  #sendBody(firstPiece: number = PIECE_BYTES): void {
    for (let piece = firstPiece; this.#body !== undefined && !this.#full; piece = PIECE_BYTES) {
      const { bytes, at } = this.#body;
      const end = Math.min(at + piece, bytes.length);
      this.#write(bytes, at, end);
      if (end < bytes.length) this.#body.at = end;
      else this.#body = undefined;
    }
  }

  #refuse(status: keyof typeof REFUSALS): void {
    const refusal = REFUSALS[status];
    this.#write(refusal, 0, refusal.length);
    this.#end();
  }

  #write(bytes: Uint8Array, start: number, end: number): void {
    if (start < end && !this.#stream.write(bytes, start, end)) this.#full = true;
  }

  #end(): void {
    this.#phase = "ended";
    this.#rest = undefined;
    this.#stream.end();
  }
}

const CONTINUE = new TextEncoder().encode("HTTP/1.1 100 Continue\r\n\r\n");

/** Without a body (policy §8.3: nothing is said on the public name), and the connection ends. */
const REFUSALS = {
  400: refusal("400 Bad Request"),
  413: refusal("413 Content Too Large"),
  417: refusal("417 Expectation Failed"),
  421: refusal("421 Misdirected Request"),
  431: refusal("431 Request Header Fields Too Large"),
  501: refusal("501 Not Implemented"),
  505: refusal("505 HTTP Version Not Supported"),
} as const;

function refusal(status: string): Uint8Array {
  return new TextEncoder().encode(
    `HTTP/1.1 ${status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
  );
}
