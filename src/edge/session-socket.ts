/**
 * The socket's side of a session: what waits to be written, whether the socket is read, how long the session may take,
 * and the steps in which it ends.
 * @module
 */
import type { Socket } from "../runtime/runtime.ts";
import type { Timed } from "./deadlines.ts";
import { OutputQueue } from "./output-queue.ts";
import type { SessionHost } from "./session-host.ts";
import { Flag, Phase } from "./session-phase.ts";
import type { Source } from "./sources.ts";

export abstract class SessionSocket implements Timed {
  slot = 0;
  readonly source: Source;
  readonly socket: Socket;
  readonly host: SessionHost;
  protected phase: Phase = Phase.Silent;
  protected phaseEndsMs: number;
  /** What the socket has not taken yet. */
  protected queue: OutputQueue | undefined;
  /** Lingering: how much more is discarded. */
  #discards = 0;
  /** Of `Flag`. */
  #flags = 0;

  constructor(socket: Socket, source: Source, host: SessionHost) {
    this.socket = socket;
    this.source = source;
    this.host = host;
    this.phaseEndsMs = host.deadlines.nowMs + host.limits.helloTimeoutMs;
  }

  abstract expire(nowMs: number): void;

  /** False: who reads what comes has to be answered first. */
  protected abstract takesInput(): boolean;

  get deadlineMs(): number {
    return Math.min(this.phaseEndsMs, this.queue?.stalledAtMs ?? Infinity);
  }

  /** To the peer, as it is. */
  send(bytes: Uint8Array, start: number, end: number): void {
    if (this.phase >= Phase.Cut || this.is(Flag.FinSent)) return;
    if (this.queue !== undefined) return this.queue.push(bytes, start, end);
    const taken = this.socket.write(bytes, start, end);
    if (taken === end - start) return;
    this.queue = new OutputQueue(bytes, start + taken, end, this.#stallsAtMs());
  }

  /** The socket has room again. True: nothing waits any more. */
  protected writeQueue(queue: OutputQueue): boolean {
    if (queue.writeTo(this.socket) > 0) {
      this.moved();
      queue.stalledAtMs = this.#stallsAtMs();
    }
    if (queue.length > 0) {
      this.steer();
      return false;
    }
    queue.release();
    this.queue = undefined;
    return true;
  }

  /** Reads from the socket, or not: that is the back-pressure on the peer. */
  protected steer(): void {
    if (this.phase >= Phase.Closing) return;
    const reads = this.phase === Phase.Lingering ||
      (!this.is(Flag.HandlerPaused) && this.takesInput() &&
        (this.queue === undefined || this.queue.length <= this.host.limits.maxOutputBuffered));
    if (reads !== this.is(Flag.SocketPaused)) return;
    this.set(Flag.SocketPaused, !reads);
    if (reads) this.socket.resume();
    else this.socket.pause();
  }

  /** Something has happened: the connection is not idle. */
  protected moved(): void {
    const { deadlines, limits } = this.host;
    if (this.phase === Phase.Open) this.phaseEndsMs = deadlines.nowMs + limits.idleTimeoutMs;
  }

  /**
   * Our last word is said. FIN behind it, then the peer's bytes are discarded for a while: closing on unread bytes is a
   * reset, which could destroy that word in flight. After an orderly end only time bounds it, not bytes.
   */
  protected linger(discards: number): void {
    this.phase = Phase.Lingering;
    this.phaseEndsMs = Infinity;
    this.#discards = discards;
    this.steer();
    if (this.queue === undefined) this.shutdown();
  }

  protected shutdown(): void {
    // Both have said close_notify, or FIN has come: there is nothing more to hear.
    if (this.is(Flag.FinCame) || (this.is(Flag.WeEnded) && this.is(Flag.PeerEnded))) {
      return this.closeSocket();
    }
    this.phaseEndsMs = this.host.deadlines.nowMs + this.host.limits.lingerMs;
    this.sendFin();
  }

  protected sendFin(): void {
    if (this.is(Flag.FinSent)) return;
    this.set(Flag.FinSent);
    this.socket.shutdown();
  }

  protected discard(length: number): void {
    this.#discards -= length;
    if (this.#discards < 0) this.closeSocket();
  }

  /** What the socket has taken still goes out, within the time of a stalled write. */
  protected closeSocket(): void {
    this.phase = Phase.Closing;
    this.phaseEndsMs = this.#stallsAtMs();
    this.socket.close();
  }

  /** At once, with what waits lost. */
  protected cutSocket(): void {
    this.phase = Phase.Cut;
    this.phaseEndsMs = Infinity;
    this.queue = undefined;
    this.socket.terminate();
  }

  /** One of them at least. */
  protected is(flags: number): boolean {
    return (this.#flags & flags) !== 0;
  }

  protected set(flag: number, value: boolean = true): void {
    if (value) this.#flags |= flag;
    else this.#flags &= ~flag;
  }

  #stallsAtMs(): number {
    return this.host.deadlines.nowMs + this.host.limits.writeStallTimeoutMs;
  }
}
