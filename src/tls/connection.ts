/**
 * One TLS 1.3 connection of a server: bytes in, `Output` out. No socket, no clock, no promise.
 *
 * In the order in which they are called:
 *
 *     receive(bytes, nowMs)                 whatever came from the peer
 *       → out.chooseSite …                  parked until useSite(), if not answered at once
 *       → out.needSignature                 parked until useSignature() or failSignature()
 *       → out.needClientVerdict             parked until useClientVerdict()
 *       → out.established
 *     send(bytes, start, end)               application data
 *     flushed()                             all that was handed to out.send has gone to the socket
 *     closeWrite()                          close_notify; reading goes on
 *     fail(reason)                          our own trouble: its alert, and the end
 *
 * While `wantsInput` is false, stop reading from the socket. The first TlsError ends the connection: its alert goes
 * out through `out.send`, then it is thrown, and every later call throws the same one. So does whatever a method of
 * `Output` throws: internal_error goes out, it flies through, and later calls throw "internal error". A fatal alert of
 * the peer's is no fault to be thrown: `out.alerted` has it, and later calls throw it.
 *
 * @module
 */
import { AwaitClientVerdict } from "./client-flight.ts";
import { Alert } from "./alert.ts";
import type { Refusal, ServerConfig, SiteConfig } from "./config.ts";
import { type Reason, receivedAlert, TlsError } from "./error.ts";
import { HandshakeReader, type HandshakeSink } from "./handshake-reader.ts";
import { AwaitSite, ExpectClientHello } from "./handshake.ts";
import { Link } from "./link.ts";
import type { ClientVerdict, EchStatus, Output } from "./output.ts";
import type { RecordSink } from "./record-reader.ts";
import { AwaitSignature } from "./server-flight.ts";
import type { State } from "./state.ts";
import { Traffic } from "./traffic.ts";
import { ContentType } from "./wire/code-points.ts";
import { part } from "./wire/vectors.ts";

export class ServerConnection implements RecordSink, HandshakeSink {
  readonly #link: Link;
  #state: State = new ExpectClientHello();
  /** Undefined where nothing of a message is held and none is being read: an idle connection has none. */
  #messages: HandshakeReader | undefined;
  #error: TlsError | undefined;
  #receiving = false;
  #userCanceled = 0;

  constructor(config: ServerConfig, out: Output) {
    this.#link = new Link(config, out);
  }

  /**
   * Takes bytes from the peer; they are the connection's from now on.
   * @throws {TlsError} the peer is at fault; its alert has been sent
   * @throws {RangeError} within a call of `Output`: the bytes before these are still being read
   */
  receive(bytes: Uint8Array, nowMs: number): void {
    if (this.#error) throw this.#error;
    if (this.#receiving) throw cannot("receive", this.#state);
    this.#link.nowMs = nowMs;
    this.#receiving = true;
    try {
      this.#link.reader.receive(bytes, this);
    } catch (error) {
      throw this.#fault(error);
    } finally {
      this.#receiving = false;
      this.#flush();
    }
  }

  /** Answers `chooseSite`. @throws {RangeError} unless that is what the connection waits for. */
  useSite(choice: SiteConfig | Refusal): void {
    const state = this.#state;
    if (!(state instanceof AwaitSite)) throw cannot("useSite", state);
    this.#answer(() => state.useSite(choice, this.#link));
  }

  /** Answers `needSignature`. @throws {RangeError} unless that is what the connection waits for. */
  useSignature(signature: Uint8Array): void {
    const state = this.#state;
    if (!(state instanceof AwaitSignature)) throw cannot("useSignature", state);
    this.#answer(() => state.useSignature(signature, this.#link));
  }

  /** The signer gave up: internal_error under handshake keys. */
  failSignature(): void {
    if (!(this.#state instanceof AwaitSignature)) throw cannot("failSignature", this.#state);
    this.fail("signer failed");
  }

  /** Answers `needClientVerdict`. @throws {RangeError} unless that is what the connection waits for. */
  useClientVerdict(verdict: ClientVerdict): void {
    const state = this.#state;
    if (!(state instanceof AwaitClientVerdict)) throw cannot("useClientVerdict", state);
    this.#answer(() => state.useVerdict(verdict, this.#link));
  }

  /**
   * Seals and sends application data; tickets that are still to be sent ride behind it.
   * @throws {RangeError} before the handshake is done or after closeWrite
   */
  send(bytes: Uint8Array, start: number, end: number): void {
    const state = this.#state;
    if (this.#error) throw this.#error;
    if (!(state instanceof Traffic) || this.#link.isClosed) throw cannot("send", state);
    if (start === end) return;
    try {
      for (let at = start; at < end; at += SEND_PIECE_BYTES) {
        if (state.needsRekey(this.#link)) state.updateWriteKey(this.#link);
        const pieceEnd = Math.min(at + SEND_PIECE_BYTES, end);
        this.#link.write(ContentType.application_data, bytes, at, pieceEnd);
      }
      state.sendTickets(this.#link);
    } catch (error) {
      throw this.#fault(error);
    }
    this.#flushUnlessReceiving();
  }

  /** An idle moment: sends the tickets that found no data to ride with. */
  flushTickets(): void {
    if (this.#error || this.#link.isClosed || !(this.#state instanceof Traffic)) return;
    this.#state.sendTickets(this.#link);
    this.#flushUnlessReceiving();
  }

  /**
   * Sends close_notify, and what is queued before it, at once: no more data from us. Reading goes on; during the
   * handshake, which cannot go on, it is the end. Tickets that are still to be sent go before it, unless the client has
   * closed: it may read on, but is not likely to come back.
   */
  closeWrite(): void {
    if (this.#error || this.#link.isClosed) return;
    const state = this.#state;
    if (!(state instanceof Traffic)) this.#error = new TlsError("closed during the handshake");
    else if (this.#link.reader.ended) state.dropTickets();
    else state.sendTickets(this.#link);
    this.#link.writeAlert(Alert.close_notify);
    this.#link.close();
    this.#flush(); // a FIN may follow this call
  }

  /** Ends the connection for a reason of ours; the peer hears its alert. Nothing after an earlier end. */
  fail(reason: Reason): void {
    if (this.#error) return;
    this.#end(new TlsError(reason));
  }

  /** Everything sent so far has gone to the socket. */
  flushed(): void {
    if (this.#state instanceof Traffic) this.#state.flushed();
  }

  /** False while the world has to answer first, and after the end. */
  get wantsInput(): boolean {
    return this.#error === undefined && !this.#state.parked;
  }

  get isEstablished(): boolean {
    return this.#state instanceof Traffic;
  }

  /** The name of the state, for logs and tests. */
  get state(): string {
    return this.#state.name;
  }

  /** What came of ECH; undefined before a ClientHello was read. */
  get ech(): EchStatus | undefined {
    return this.#link.ech;
  }

  /**
   * RFC 9846 §7.5. An absent context and an empty one are the same.
   * @throws {RangeError} before `established`, or after it unless the server keeps exporter secrets
   */
  exportKeyingMaterial(label: string, context: Uint8Array, length: number): Uint8Array {
    if (!(this.#state instanceof Traffic)) throw cannot("exportKeyingMaterial", this.#state);
    return this.#state.exportKeyingMaterial(label, context, length, this.#link);
  }

  /** A change_cipher_spec now would stand between the fragments of a message (RecordSink). */
  get midMessage(): boolean {
    return this.#messages?.pending === true;
  }

  /** One record's content (RecordSink). */
  record(type: number, bytes: Uint8Array, start: number, end: number): boolean {
    if (type !== ContentType.handshake && this.midMessage) {
      throw new TlsError("interleaved handshake message");
    }
    switch (type) {
      case ContentType.handshake:
        return this.#handshakeRecord(bytes, start, end);
      case ContentType.alert:
        this.#alert(bytes[start + 1]!);
        return this.#error === undefined;
      default:
        return this.#data(bytes, start, end);
    }
  }

  #handshakeRecord(bytes: Uint8Array, start: number, end: number): boolean {
    const messages = this.#messages ??= new HandshakeReader();
    const more = messages.receive(bytes, start, end, this);
    if (more && !messages.pending) this.#messages = undefined;
    return more;
  }

  /** A handshake message begins (HandshakeSink). */
  expectMessage(type: number, length: number): void {
    const limit = this.#state.limitFor(type, this.#link.config.limits);
    if (limit === undefined) {
      throw new TlsError("unexpected message", `type ${type} in ${this.#state.name}`);
    }
    if (length <= limit) return;
    throw new TlsError("message too long", `${length} bytes of type ${type}`);
  }

  /** A handshake message is whole (HandshakeSink). */
  message(
    _type: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    last: boolean,
  ): boolean {
    this.#userCanceled = 0;
    this.#enter(this.#state.handle(part(bytes, start, end), last, this.#link));
    return this.wantsInput;
  }

  #data(bytes: Uint8Array, start: number, end: number): boolean {
    if (!(this.#state instanceof Traffic)) {
      throw new TlsError("unexpected record", `application data in ${this.#state.name}`);
    }
    this.#userCanceled = 0;
    if (start === end) return true;
    this.#state.dataReceived();
    this.#link.out.plaintext(bytes, start, end);
    return this.#error === undefined;
  }

  /** RFC 9846 §6: all but two are fatal, whatever their level says. */
  #alert(code: number): void {
    if (code === Alert.user_canceled) {
      if (++this.#userCanceled > this.#link.config.limits.maxUserCanceled) {
        throw new TlsError("too many alerts");
      }
      return;
    }
    if (code !== Alert.close_notify) {
      const error = receivedAlert(code);
      this.#end(error);
      return this.#link.out.alerted(error);
    }
    this.#link.reader.end();
    if (this.#state instanceof Traffic) return this.#link.out.closed();
    this.closeWrite();
    throw new TlsError("closed during the handshake");
  }

  /** Changes the state, then lets it speak to the world: an answer may come before `enter` returns. */
  #enter(state: State): void {
    if (state === this.#state) return;
    this.#state = state;
    state.enter?.(this.#link);
  }

  /** The world has answered: go on, and then with what the peer has sent meanwhile. */
  #answer(step: () => State): void {
    if (this.#error) throw this.#error;
    const nested = this.#receiving; // answered from within the question
    this.#receiving = true;
    try {
      this.#enter(step());
      if (!nested && this.wantsInput && (this.#messages?.resume(this) ?? true)) {
        this.#link.reader.resume(this);
      }
    } catch (error) {
      throw this.#fault(error);
    } finally {
      this.#receiving = nested;
      this.#flushUnlessReceiving();
    }
  }

  /** The one place where an error becomes an alert. The first error is also the last. Returns what is to be thrown. */
  #fault(error: unknown): unknown {
    const isOurs = !(error instanceof TlsError);
    if (this.#error === undefined) this.#end(isOurs ? internalError(error) : error);
    return isOurs ? error : this.#error;
  }

  #end(error: TlsError): void {
    this.#error = error;
    if (error.alert !== undefined) this.#link.writeAlert(Alert[error.alert]);
    this.#link.close();
    this.#flush();
  }

  #flush(): void {
    try {
      this.#link.flush();
    } catch (error) {
      this.#error ??= internalError(error);
      throw error;
    }
  }

  #flushUnlessReceiving(): void {
    if (!this.#receiving) this.#flush();
  }
}

function internalError(cause: unknown): TlsError {
  const error = new TlsError("internal error");
  error.cause = cause;
  return error;
}

function cannot(call: string, state: State): RangeError {
  return new RangeError(`Cannot ${call} in ${state.name}`);
}

/** So many bytes are sealed at a time, with a look at the key's limit between. */
const SEND_PIECE_BYTES = 65536;
