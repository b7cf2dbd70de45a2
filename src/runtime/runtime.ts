/**
 * What sotto wants from a JavaScript runtime beyond what all three share: TCP with back-pressure, and its HTTP server.
 *
 * `bun.ts`, `deno.ts` and `node.ts` implement it; they are named only where things are wired together.
 *
 * @module
 */
export interface Runtime {
  readonly name: "bun" | "deno" | "node";
  readonly version: string;
  /** Whether several processes can listen on one port, and share its connections. */
  readonly reusesPorts: boolean;
  /** Whether `::` takes IPv4 as well, so that nothing else can have its port there. Otherwise it is IPv6 alone. */
  readonly joinsFamilies: boolean;

  /** @throws {Error} with `code` EADDRINUSE, EACCES or EADDRNOTAVAIL, whatever the runtime calls it. */
  listen(options: ListenOptions, accept: (socket: Socket) => SocketEvents): Promise<Listener>;

  /**
   * Opens a connection. Rejects with the runtime's error, `code` set; with ETIMEDOUT if `attempt` is over before there is
   * one, and its descriptor is free then. Default: as long as the kernel tries.
   */
  connect(target: ConnectTarget, events: SocketEvents, attempt?: ConnectAttempt): Promise<Socket>;

  /**
   * Starts the runtime's own HTTP/1.1 server for streams that are already decrypted. `answer` sees each request
   * with the tag of the connection that it came over; its `url` begins with `https://`.
   */
  serveHttp<Tag extends object>(answer: AnswerHttp<Tag>): Promise<HttpServer<Tag>>;
}

export type AnswerHttp<Tag> = (request: Request, tag: Tag) => Response | Promise<Response>;

/** Nobody but the holder of this object gets a request into it, wherever it listens. */
export interface HttpServer<Tag extends object> {
  /** A connection into the server. What the server answers comes as `events.data`. */
  connect(tag: Tag, events: SocketEvents): Promise<Socket>;
  /** Requests that came from elsewhere, and got 403. */
  readonly strangers: number;
  /** Ends the server and what is left of its connections. */
  stop(): Promise<void>;
}

export interface ListenOptions {
  /** An IP address, not a name. */
  readonly hostname: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Only where `reusesPorts`. */
  readonly reusePort?: boolean;
}

export type ConnectTarget =
  | { readonly hostname: string; readonly port: number; readonly localAddress?: string }
  | { readonly path: string };

/** How long it may take to connect, and the way to end it sooner. One for each call. */
export interface ConnectAttempt {
  readonly timeoutMs: number;
  /** Ends it at once, as its time does. Set by `connect` for as long as that can be; a path takes no time. */
  giveUp?: (() => void) | undefined;
}

export interface Listener {
  readonly hostname: string;
  readonly port: number;
  /** Stops accepting; open connections go on. */
  stop(): Promise<void>;
}

/** What happens to one socket, in this order; `close` comes once and last. */
export interface SocketEvents {
  /** `bytes` is the callee's from now on: no one writes into it again. */
  data(bytes: Uint8Array): void;
  /** After a short `write`: there is room again. */
  drain(): void;
  /** The peer's FIN. Writing may go on. */
  end(): void;
  /** Nothing more in either direction; `error` where it was not an orderly end. */
  close(error: Error | undefined): void;
}

export interface Socket {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;

  /**
   * Hands over `bytes[start, end)` and returns how many were taken; the rest is the caller's to hand over again after
   * `drain`. The bytes may be reused when it returns. 0 after the socket is closed.
   */
  write(bytes: Uint8Array, start: number, end: number): number;

  /**
   * Absent, or worth a call where much comes: nobody needs `bytes`, all that one `data` brought, any more, nor any view
   * of them. They are empty afterwards.
   */
  giveBack?(bytes: Uint8Array): void;

  /** Stops and resumes `data`. */
  pause(): void;
  resume(): void;

  /** FIN behind what was written; reading goes on. */
  shutdown(): void;

  /** FIN behind what was written, then gone without waiting for the peer. Unread bytes make it a reset. */
  close(): void;

  /** Ends both directions at once. What is still unsent, here or in the kernel, may be lost. */
  terminate(): void;
}
