/**
 * One client's connection and the one to its upstream, spliced.
 *
 * Each direction ends by itself: the client's end is a FIN for the upstream behind its last byte, the upstream's FIN is
 * close_notify for the client. A reset is a reset: the other side is cut, so that nobody takes a part for the whole.
 *
 * What waits is bounded in both directions. Bytes of the client that the upstream does not take are kept, and the
 * client is not read meanwhile: at most what one read brought. Bytes of the upstream are sealed a piece at a time, and
 * no more than one read of them waits for the client.
 *
 * An upstream that cannot be reached is replaced by another one as long as none has been given a byte of the client's.
 *
 * @module
 */
import type { Socket } from "../../runtime/runtime.ts";
import { describeException } from "../exception.ts";
import { OutputQueue } from "../output-queue.ts";
import type { Upstream } from "../upstreams/upstream.ts";
import { UpstreamSide } from "./forward-side.ts";
import type { ForwardHandler } from "./forward.ts";
import { gather, GATHERED, isToGather, takeGathered } from "./gather.ts";
import type { HandlerConnection, Stream } from "./handler.ts";
import { PIECE_BYTES } from "./piece.ts";

export class ForwardConnection implements HandlerConnection {
  readonly #handler: ForwardHandler;
  readonly #stream: Stream;
  #side: UpstreamSide | undefined;
  /** Goes before the client's first byte, and again, whole, to the next upstream until that byte has gone out. */
  #header: Uint8Array | undefined;
  /** Of the header, at the head of `#toUpstream`. */
  #headerLeft = 0;
  /** For the upstream, and not taken yet. */
  #toUpstream: OutputQueue | undefined;
  /** From the upstream, and not sealed yet, from `#sealedTo` on. */
  #toClient: Uint8Array | undefined;
  #sealedTo = 0;
  /** It has said that it has no room, and not yet that it has some. */
  #clientFull = false;
  #clientPaused = false;
  #clientEnded = false;
  #upstreamEnded = false;
  /** The client's bytes have begun to go out, or the upstream has spoken: no other one can take its place. */
  #committed = false;
  #finSent = false;
  #answered = false;
  /** The client has spoken since the upstream did last: only then is its next word dated, and bulk reads no clock. */
  #asked = true;
  #gone = false;

  constructor(handler: ForwardHandler, stream: Stream, header: Uint8Array | undefined) {
    this.#handler = handler;
    this.#stream = stream;
    this.#header = header;
    void this.#connect([]);
  }

  // What the client does (HandlerConnection)

  data(bytes: Uint8Array, start: number, end: number): void {
    if (this.#gone) return;
    if (this.#toUpstream === undefined && isToGather(end - start)) {
      return gather(this, bytes, start, end);
    }
    this.flush();
    this.#forward(bytes, start, end);
  }

  flush(): void {
    const length = takeGathered(this);
    if (length > 0) this.#forward(GATHERED, 0, length);
  }

  end(): void {
    this.flush();
    this.#clientEnded = true;
    this.#steer();
  }

  drain(): void {
    const bytes = this.#toClient;
    this.#toClient = undefined;
    this.#clientFull = false;
    if (bytes !== undefined) this.#seal(bytes, this.#sealedTo);
    if (this.#gone || this.#toClient !== undefined) return;
    if (this.#upstreamEnded) this.#endClient();
    else if (!this.#clientFull) this.#side?.socket?.resume();
  }

  close(): void {
    if (this.#gone) return;
    takeGathered(this); // an end in good order has flushed it
    this.#gone = true;
    this.#toClient = undefined;
    const side = this.#side;
    this.#side = undefined;
    if (side === undefined) return;
    const isOrderly = this.#clientEnded && this.#upstreamEnded;
    if (isOrderly && this.#toUpstream !== undefined) side.leaveBehind(this.#toUpstream);
    else side.leave(isOrderly);
    this.#toUpstream = undefined;
  }

  // What the upstream does

  fromUpstream(bytes: Uint8Array): void {
    if (this.#gone) return;
    if (this.#asked) {
      this.#asked = false;
      this.#answered = true;
      this.#commit();
      this.#handler.upstreams.answered(this.#side!.upstream);
    }
    if (!this.#clientFull) return this.#seal(bytes, 0);
    // It was already being read when it was paused.
    const before = this.#toClient?.subarray(this.#sealedTo);
    this.#toClient = before === undefined ? bytes : joined(before, bytes);
    this.#sealedTo = 0;
  }

  /** There is room for more, or there is a connection at last. */
  upstreamReady(): void {
    this.#steer();
  }

  upstreamEnded(): void {
    const side = this.#side;
    if (this.#gone || side === undefined) return;
    if (!this.#committed && this.#isFresh(side)) return this.#replace(side, NO_ANSWER);
    // What ends behind the client's end may have had no answer to give.
    if (this.#committed && !this.#answered && !this.#clientEnded) {
      this.#handler.brokeOff(side.upstream, NO_ANSWER);
    }
    this.#upstreamEnded = true;
    if (this.#toClient === undefined) this.#endClient();
  }

  upstreamClosed(error: Error | undefined): void {
    const side = this.#side;
    if (this.#gone || side === undefined) return;
    // With our FIN out, the upstream's may show as the end of it all.
    if (this.#upstreamEnded || (this.#finSent && error === undefined)) {
      this.#leave(side);
      this.#upstreamEnded = true;
      // All that it had to say is said; it hears nothing more.
      this.#clientEnded = true;
      this.#toUpstream = undefined;
      if (this.#toClient === undefined) this.#stream.end();
      return;
    }
    const why = error ?? NO_ANSWER;
    if (!this.#committed && this.#isFresh(side)) return this.#replace(side, why);
    this.#leave(side);
    // One that was told nothing for long may be tired of a silent client: nobody has failed.
    if (this.#committed && !this.#answered) this.#handler.brokeOff(side.upstream, why);
    this.#stream.abort();
  }

  /** An exception of ours: it ends this connection and no other. */
  fault(error: unknown): void {
    this.#handler.upstreams.log.event(
      "error",
      "exception_ended_connection",
      describeException(error),
    );
    this.#stream.abort();
  }

  /** An upstream that ends so soon, without a word from either side, has failed. */
  #isFresh(side: UpstreamSide): boolean {
    const { clock, limits } = this.#handler.upstreams;
    return clock.monotonicMs() - side.connectedAtMs < limits.freshForMs;
  }

  #leave(side: UpstreamSide): void {
    this.#side = undefined;
    side.leave(true);
  }

  /** It has accepted the connection and ended it: another one takes its place. */
  #replace(side: UpstreamSide, error: unknown): void {
    this.#leave(side);
    this.#handler.upstreams.failed(side.upstream, error, true);
    void this.#connect(side.tried);
  }

  /** What the upstream does not take is kept, and the client waits meanwhile. */
  #forward(bytes: Uint8Array, start: number, end: number): void {
    if (this.#clientEnded) return; // the upstream is gone, and hears nothing more
    this.#asked = true;
    let at = start;
    if (this.#toUpstream === undefined) {
      at += this.#side?.socket?.write(bytes, start, end) ?? 0;
      if (at > start) this.#commit();
      if (at === end) return;
      this.#toUpstream = new OutputQueue(bytes, at, end);
    } else {
      this.#toUpstream.push(bytes, at, end);
    }
    if (this.#clientPaused) return;
    this.#clientPaused = true;
    this.#stream.pause();
  }

  /** Never rejects. */
  async #connect(tried: Upstream[]): Promise<void> {
    const { upstreams } = this.#handler;
    for (;;) {
      const upstream = this.#handler.choose(tried);
      if (upstream === undefined) return this.#unreachable(tried);
      tried.push(upstream);
      const attempt = { timeoutMs: upstreams.limits.connectTimeoutMs };
      const side = this.#side = new UpstreamSide(this, upstream, tried, attempt);
      let socket: Socket;
      try {
        socket = await upstreams.connect(upstream, side, attempt);
      } catch (error) {
        side.leave(false);
        if (this.#gone) return;
        upstreams.failed(upstream, error);
        continue;
      }
      if (this.#gone) return socket.terminate();
      side.connectedAtMs = upstreams.clock.monotonicMs();
      this.#beginWithHeader();
      side.begin(socket);
      return;
    }
  }

  /** What waits, behind a whole header, whatever the upstream before has taken of it. */
  #beginWithHeader(): void {
    const header = this.#header;
    if (header === undefined) return;
    const before = this.#toUpstream;
    const queue = this.#toUpstream = new OutputQueue(header, 0, header.length);
    const skipped = this.#headerLeft;
    this.#headerLeft = header.length;
    before?.writeTo({
      write(bytes, start, end) {
        queue.push(bytes, start + skipped, end);
        return end - start;
      },
    });
    before?.release();
  }

  #commit(): void {
    this.#committed = true;
    this.#header = undefined;
  }

  #unreachable(tried: readonly Upstream[]): void {
    this.#side = undefined;
    this.#handler.upstreams.log.event("error", "no_upstream_reached", {
      upstream: tried.at(-1)?.name,
      attempts: tried.length,
    });
    this.#stream.abort();
  }

  /** To the upstream: what waits, then that the client has ended. */
  #steer(): void {
    const socket = this.#side?.socket;
    if (socket === undefined || this.#gone || this.#finSent) return;
    if (this.#toUpstream !== undefined) {
      const taken = this.#toUpstream.writeTo(socket);
      if (taken > this.#headerLeft) this.#commit();
      this.#headerLeft = Math.max(0, this.#headerLeft - taken);
      if (this.#toUpstream.length > 0) return;
      this.#toUpstream.release();
      this.#toUpstream = undefined;
    }
    if (this.#clientEnded) {
      this.#finSent = true;
      this.#commit();
      socket.shutdown();
      if (this.#upstreamEnded && this.#toClient === undefined) this.#stream.end();
    } else if (this.#clientPaused) {
      this.#clientPaused = false;
      this.#stream.resume();
    }
  }

  /** Seals as much as the client has room for; the rest waits, and the upstream with it. */
  #seal(bytes: Uint8Array, start: number): void {
    let more = true;
    let at = start;
    while (at < bytes.length && more) {
      const pieceEnd = Math.min(at + PIECE_BYTES, bytes.length);
      more = this.#stream.write(bytes, at, pieceEnd);
      at = pieceEnd;
    }
    const socket = this.#side?.socket;
    if (at === bytes.length) {
      socket?.giveBack?.(bytes);
    } else if (!this.#gone) {
      this.#toClient = bytes;
      this.#sealedTo = at;
    }
    if (more || this.#gone) return;
    this.#clientFull = true;
    socket?.pause();
  }

  #endClient(): void {
    if (this.#clientEnded && this.#toUpstream === undefined) this.#stream.end();
    else this.#stream.endWrite();
  }
}

const NO_ANSWER = { code: "closed without an answer" };

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}
