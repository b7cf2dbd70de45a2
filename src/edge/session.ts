/**
 * One TLS connection of the edge, from accept to close: between a socket, a ServerConnection and a handler.
 *
 * Here is what each of them says to the others. `session-socket.ts` has the socket's side, `session-ends.ts` how it ends,
 * and by whose fault; `session-phase.ts` draws where it may stand.
 *
 * Idle connections are many: few fields, no closure, no buffer unless bytes wait.
 *
 * @module
 */
import type { SocketEvents } from "../runtime/runtime.ts";
import type { ClientAuth, Refusal, SiteConfig } from "../tls/config.ts";
import { ServerConnection } from "../tls/connection.ts";
import type { TlsError } from "../tls/error.ts";
import type { EchStatus, Negotiated, Output, SignatureRequest } from "../tls/output.ts";
import type { ClientHello } from "../tls/wire/client-hello.ts";
import { chooseSite } from "./choose-site.ts";
import { describeException } from "./exception.ts";
import { type FactsOrigin, SessionFacts } from "./facts.ts";
import type { PassOnHandler } from "./handlers/handler.ts";
import { isOurs, Opening } from "./opening.ts";
import { PlainConnection } from "./passthrough.ts";
import { SessionEnds } from "./session-ends.ts";
import { Flag, Phase } from "./session-phase.ts";
import { SessionStream } from "./session-stream.ts";

export class Session extends SessionEnds implements SocketEvents, Output, FactsOrigin {
  /** Bytes from which it cannot be told yet what is spoken, or to whom. */
  #opening: Opening | undefined;
  /** Written by the handler in the middle of a turn, and sealed at the end of it. */
  #unsealed = 0;

  // What the socket says (SocketEvents)

  data(bytes: Uint8Array): void {
    // What a record or a handler keeps is a copy; a handshake that waits may look at these very bytes.
    const isOnlyRead = this.phase >= Phase.Fresh;
    try {
      if (this.phase < Phase.Lingering) this.#receive(bytes);
      else if (this.phase === Phase.Lingering) this.discard(bytes.length);
    } catch (error) {
      this.fault(error);
    }
    if (isOnlyRead) this.socket.giveBack?.(bytes);
  }

  drain(): void {
    try {
      if (this.queue !== undefined) {
        if (!this.writeQueue(this.queue)) return;
        if (this.phase === Phase.Lingering) return this.shutdown();
        if (this.is(Flag.WeEndedWrite)) this.#endPlain();
      }
      this.#settle();
    } catch (error) {
      this.fault(error);
    }
  }

  /** FIN. After the handshake, a truncation where no close_notify came before it; the write side may live (§9). */
  end(): void {
    this.set(Flag.FinCame);
    try {
      if (this.phase < Phase.Fresh) {
        this.handshakeOver("abandoned");
        this.closeSocket();
      } else if (this.phase < Phase.Lingering) {
        this.closed();
        this.#settle();
      } else if (this.phase < Phase.Closing && this.queue === undefined) {
        this.closeSocket();
      }
    } catch (error) {
      this.fault(error);
    }
  }

  close(error: Error | undefined): void {
    if (this.phase === Phase.Gone) return;
    // With our FIN out, the peer's may show as the end of it all.
    if (error === undefined && this.phase === Phase.Open && this.is(Flag.FinSent)) this.closed();
    if (this.phase < Phase.Fresh) this.handshakeOver("abandoned");
    this.phase = Phase.Gone;
    this.queue = undefined;
    this.connection = undefined;
    this.host.gone(this);
    this.leaveHandler();
  }

  // What the connection says (Output)

  chooseSite(hello: ClientHello, ech: EchStatus): SiteConfig | Refusal | undefined {
    const { limits } = this.host;
    if (this.phase === Phase.Silent) {
      this.phase = Phase.Handshake;
      this.phaseEndsMs += limits.handshakeTimeoutMs - limits.helloTimeoutMs;
      this.host.helloCame(this);
    }
    const isHidden = ech.outcome === "accepted";
    const chosen = chooseSite(this.snapshot!, hello, this.socket, isHidden);
    if (chosen === undefined) {
      return this.#askOnDemand(hello, isHidden) ? undefined : { refuse: "unrecognized name" };
    }
    if ("refuse" in chosen) return chosen;
    this.site = chosen;
    return chosen.tls;
  }

  /** A name that nobody serves yet. False: nor will. */
  #askOnDemand(hello: ClientHello, isHidden: boolean): boolean {
    const allowed = this.host.askOnDemand(hello.serverNameText!, this.socket.remoteAddress);
    if (allowed === undefined) return false;
    const name = hello.serverName!.slice();
    const refused = { refuse: "unrecognized name" } as const;
    void this.#hold(
      allowed,
      (allowed) => {
        // What was allowed has come with a newer snapshot.
        if (allowed) this.snapshot = this.host.snapshot;
        this.site = allowed ? this.snapshot!.find(name, isHidden) : undefined;
        this.#server?.useSite(this.site?.tls ?? refused);
      },
      () => this.#server?.useSite(refused),
    );
    return true;
  }

  needSignature(request: SignatureRequest): void {
    void this.#hold(
      this.host.sign(request),
      (signature) => this.#server?.useSignature(signature),
      () => {
        this.#server?.failSignature();
        this.lost("signer failed");
      },
    );
  }

  needClientVerdict(chain: readonly Uint8Array[], auth: ClientAuth): void {
    const verdict = auth.mode === "request" || auth.mode === "require"
      ? { verdict: "unverified" } as const
      : this.host.verifyClient(chain, auth, this.site!);
    if (!(verdict instanceof Promise)) return this.#server!.useClientVerdict(verdict);
    void this.#hold(
      verdict,
      (verdict) => this.#server?.useClientVerdict(verdict),
      () => this.#server?.useClientVerdict({ refuse: "unknown certificate" }),
    );
  }

  established(negotiated: Negotiated): void {
    this.host.handshakeOver(this, false);
    this.host.counters.handshake(negotiated);
    this.phase = Phase.Fresh;
    this.phaseEndsMs = this.host.deadlines.nowMs + this.host.limits.ticketDelayMs;
    const facts = new SessionFacts(negotiated, this);
    this.handler = this.host.handlerOf(this.site!).open(new SessionStream(this), facts);
  }

  plaintext(bytes: Uint8Array, start: number, end: number): void {
    if (this.is(Flag.WeEnded) || this.phase >= Phase.Lingering) return;
    this.moved();
    this.set(Flag.AnswerDue);
    this.handler?.data(bytes, start, end);
  }

  closed(): void {
    if (this.is(Flag.PeerEnded)) return;
    this.set(Flag.PeerEnded);
    this.handler?.end();
  }

  alerted(error: TlsError): void {
    this.fault(error);
  }

  // What the handler says (Stream)

  write(bytes: Uint8Array, start: number, end: number): boolean {
    if (this.is(Flag.WeEnded | Flag.WeEndedWrite) || this.phase >= Phase.Lingering) return false;
    try {
      this.moved();
      this.set(Flag.AnswerDue, false);
      this.connection!.send(bytes, start, end);
      if (this.is(Flag.Receiving)) this.#unsealed += end - start;
      else if (this.queue === undefined) this.connection!.flushed();
      else this.steer();
    } catch (error) {
      this.fault(error);
    }
    const more = this.queue === undefined && this.#unsealed < this.host.limits.maxOutputBuffered;
    this.set(Flag.HandlerWaits, !more);
    return more;
  }

  endWrite(): void {
    if (this.is(Flag.WeEnded | Flag.WeEndedWrite) || this.phase >= Phase.Lingering) return;
    try {
      this.set(Flag.WeEndedWrite);
      this.connection!.closeWrite();
      if (this.queue === undefined) this.#endPlain();
    } catch (error) {
      this.fault(error);
    }
  }

  finish(): void {
    if (this.is(Flag.WeEnded) || this.phase >= Phase.Lingering) return;
    try {
      this.set(Flag.WeEnded);
      this.connection!.closeWrite();
      if (!this.is(Flag.Receiving)) this.linger(Infinity);
    } catch (error) {
      this.fault(error);
    }
  }

  /** With a fatal alert: too many clients take FIN without close_notify for an end in good order. */
  abort(): void {
    if (this.phase >= Phase.Lingering) return;
    if (this.connection instanceof PlainConnection) return this.terminate();
    try {
      this.connection!.fail("internal error");
      this.linger(this.host.limits.lingerBytes);
    } catch (error) {
      this.fault(error);
    }
  }

  setPaused(paused: boolean): void {
    this.set(Flag.HandlerPaused, paused);
    if (!this.is(Flag.Receiving)) this.steer();
  }

  // What time says

  expire(nowMs: number): void {
    try {
      if (this.queue !== undefined && this.queue.stalledAtMs <= nowMs) {
        return this.cut("writeStallTimeout");
      }
      switch (this.phase) {
        case Phase.Silent:
          return this.cut("helloTimeout");
        case Phase.Handshake:
          return this.cut("handshakeTimeout");
        case Phase.Held:
          this.host.counters.endedBy("holdTimeout");
          this.connection!.fail("internal error");
          return this.lost("internal error");
        case Phase.Fresh:
          this.phase = Phase.Open;
          this.moved();
          this.connection!.flushTickets();
          return this.#settle();
        case Phase.Open:
          this.host.counters.endedBy("idleTimeout");
          return this.closeGently();
        case Phase.Lingering:
          return this.closeSocket();
        case Phase.Closing:
          return this.cut("linger");
        case Phase.Cut:
        case Phase.Gone:
      }
    } catch (error) {
      this.fault(error);
    }
  }

  /** The server stops. True: this one ends now; false: it has something to finish. */
  retire(nowMs: number): void {
    if (this.phase === Phase.Silent) {
      // Who has just come is about to speak, and need not know that another one follows here.
      const silentMs = nowMs - (this.phaseEndsMs - this.host.limits.helloTimeoutMs);
      return silentMs < RETIRE_AFTER_MS ? undefined : this.terminate();
    }
    const quietMs = nowMs - (this.phaseEndsMs - this.host.limits.idleTimeoutMs);
    if (this.phase !== Phase.Open || this.is(Flag.AnswerDue) || quietMs < RETIRE_AFTER_MS) return;
    try {
      this.closeGently();
    } catch (error) {
      this.fault(error);
    }
  }

  #receive(bytes: Uint8Array): void {
    const begun = this.connection === undefined ? this.#begin(bytes) : bytes;
    if (begun === undefined) return;
    this.set(Flag.Receiving);
    try {
      this.connection!.receive(begun, this.host.clock.wallMs());
    } finally {
      this.set(Flag.Receiving, false);
    }
    this.#settle();
  }

  /** The first bytes. Returns all that have come once it is clear whose they are; undefined before, and if nobody's. */
  #begin(bytes: Uint8Array): Uint8Array | undefined {
    const { passOn } = this.host;
    const snapshot = this.snapshot ??= this.host.snapshot;
    if (this.#opening === undefined && isOurs(bytes[0]!, passOn)) {
      this.connection = new ServerConnection(snapshot.server, this);
      return bytes;
    }
    this.#opening ??= new Opening(snapshot, passOn);
    const opened = this.#opening.receive(bytes);
    if (opened === undefined) return undefined;
    this.#opening = undefined;
    if ("answer" in opened) {
      this.#answerPlainHttp(opened.answer);
      return undefined;
    }
    if (opened.handler === undefined) {
      this.connection = new ServerConnection(snapshot.server, this);
    } else {
      this.#passOn(opened.handler, opened.name);
    }
    return opened.bytes;
  }

  /** From here on this session carries bytes that it does not read. */
  #passOn(handler: PassOnHandler, name: string): void {
    const { counters, deadlines, limits } = this.host;
    counters.passedOn++;
    this.host.handshakeOver(this, false);
    this.phase = Phase.Open;
    this.phaseEndsMs = deadlines.nowMs + limits.idleTimeoutMs;
    this.connection = new PlainConnection(this);
    this.handler = handler.openEncrypted(new SessionStream(this), this.socket, name);
  }

  protected override takesInput(): boolean {
    return this.connection?.wantsInput !== false;
  }

  get #server(): ServerConnection | undefined {
    return this.connection as ServerConnection | undefined;
  }

  /** After each turn: what could not be done in the middle of it. */
  #settle(): void {
    if (this.phase >= Phase.Lingering) return;
    this.handler?.flush?.();
    if (this.is(Flag.WeEnded)) return this.linger(Infinity);
    this.#unsealed = 0;
    if (this.queue === undefined) {
      this.connection?.flushed();
      if (this.is(Flag.HandlerWaits)) {
        this.set(Flag.HandlerWaits, false);
        this.handler?.drain();
      }
    }
    this.steer();
  }

  /** Waits for our own side. That time is not the peer's. */
  async #hold<T>(
    answer: Promise<T>,
    use: (answer: T) => void,
    refuse: () => void,
  ): Promise<void> {
    const leftMs = this.phaseEndsMs - this.host.deadlines.nowMs;
    this.phase = Phase.Held;
    this.phaseEndsMs = this.host.deadlines.nowMs + this.host.limits.holdTimeoutMs;
    let result: T | undefined;
    let failed = false;
    try {
      result = await answer;
    } catch (error) {
      failed = true;
      this.host.log.event("warn", "no_answer_for_handshake", describeException(error));
    }
    if (this.phase !== Phase.Held) return;
    this.phase = Phase.Handshake;
    this.phaseEndsMs = this.host.deadlines.nowMs + leftMs;
    try {
      this.set(Flag.Receiving);
      try {
        if (failed) refuse();
        else use(result as T);
      } finally {
        this.set(Flag.Receiving, false);
      }
      this.#settle();
    } catch (error) {
      this.fault(error);
    }
  }

  protected override linger(discards: number): void {
    this.#opening = undefined;
    super.linger(discards);
  }

  /**
   * Our direction's end where no close_notify tells it. Not under TLS: with FIN sent, the socket would close by itself
   * at the peer's FIN, before the handler has finished with what came.
   */
  #endPlain(): void {
    if (this.connection instanceof PlainConnection) this.sendFin();
  }

  #answerPlainHttp(answer: Uint8Array): void {
    this.host.counters.plainHttp++;
    this.handshakeOver("failed", true);
    this.send(answer, 0, answer.length);
    this.linger(this.host.limits.lingerBytes);
  }
}

/** So long must a connection have been quiet, after an answer, to be ended when the server stops. */
const RETIRE_AFTER_MS = 1_000;
