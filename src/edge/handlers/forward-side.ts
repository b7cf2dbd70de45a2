/**
 * The connection to one upstream, of a client's that is forwarded: the events of its socket, and whether it counts.
 * @module
 */
import type { ConnectAttempt, Socket, SocketEvents } from "../../runtime/runtime.ts";
import type { OutputQueue } from "../output-queue.ts";
import type { Upstream } from "../upstreams/upstream.ts";
import type { ForwardConnection } from "./forward-connection.ts";

/** The upstream's end of it. One that was given up says nothing more. */
export class UpstreamSide implements SocketEvents {
  readonly upstream: Upstream;
  /** This one and those before it. */
  readonly tried: Upstream[];
  socket: Socket | undefined;
  connectedAtMs = 0;
  /** Until there is a socket. */
  #attempt: ConnectAttempt | undefined;
  #connection: ForwardConnection | undefined;
  /** What came before `socket` was known. */
  #early: (() => void)[] | undefined;
  #rest: OutputQueue | undefined;
  #deadline: ReturnType<typeof setTimeout> | undefined;

  constructor(
    connection: ForwardConnection,
    upstream: Upstream,
    tried: Upstream[],
    attempt: ConnectAttempt,
  ) {
    this.#connection = connection;
    this.#attempt = attempt;
    this.upstream = upstream;
    this.tried = tried;
    upstream.connections++;
  }

  begin(socket: Socket): void {
    this.socket = socket;
    this.#attempt = undefined;
    const early = this.#early;
    this.#early = undefined;
    for (const happen of early ?? []) happen();
    this.drain();
  }

  leave(orderly: boolean): void {
    if (this.#connection === undefined) return;
    this.#connection = undefined;
    this.upstream.connections--;
    this.#attempt?.giveUp?.();
    if (orderly) this.socket?.close();
    else this.socket?.terminate();
  }

  /** The client is gone, in good order: what it said last still goes out, if the upstream takes it in time. */
  leaveBehind(bytes: OutputQueue): void {
    this.#connection = undefined;
    this.#rest = bytes;
    this.#deadline = setTimeout(() => this.#endRest(false), REST_TIMEOUT_MS);
  }

  data(bytes: Uint8Array): void {
    if (this.socket === undefined) return this.#later(() => this.data(bytes));
    const connection = this.#connection;
    try {
      connection?.fromUpstream(bytes);
    } catch (error) {
      connection?.fault(error);
    }
  }

  drain(): void {
    if (this.#rest !== undefined) {
      this.#rest.writeTo(this.socket!);
      if (this.#rest.length === 0) this.#endRest(true);
      return;
    }
    const connection = this.#connection;
    try {
      connection?.upstreamReady();
    } catch (error) {
      connection?.fault(error);
    }
  }

  end(): void {
    if (this.socket === undefined) return this.#later(() => this.end());
    const connection = this.#connection;
    try {
      connection?.upstreamEnded();
    } catch (error) {
      connection?.fault(error);
    }
  }

  close(error: Error | undefined): void {
    if (this.#rest !== undefined) return this.#endRest(false);
    if (this.socket === undefined) return this.#later(() => this.close(error));
    const connection = this.#connection;
    try {
      connection?.upstreamClosed(error);
    } catch (exception) {
      connection?.fault(exception);
    }
  }

  #endRest(orderly: boolean): void {
    clearTimeout(this.#deadline);
    this.#rest = undefined;
    this.upstream.connections--;
    if (orderly) this.socket!.close();
    else this.socket!.terminate();
  }

  #later(happen: () => void): void {
    (this.#early ??= []).push(happen);
  }
}

/** As long as the edge waits for a peer that takes nothing. */
const REST_TIMEOUT_MS = 30_000;
