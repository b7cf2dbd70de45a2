/**
 * sotto's server core and the test client, joined in memory. The clock is moved by hand, nothing sleeps.
 *
 *     const pair = await Pair.connect({ server: { ech: true }, client: { serverName: "a.example" } });
 *     const pair = await Pair.attempt({ … });   // for handshakes that fail: see clientError, serverError
 *
 * @module
 */
import {
  ClientConnection,
  type ClientOptions,
  connect,
  type Transport,
} from "../../src/client/client.ts";
import { ClientError } from "../../src/client/error.ts";
import { ServerConnection } from "../../src/tls/connection.ts";
import { TlsError } from "../../src/tls/error.ts";
import type { Negotiated } from "../../src/tls/output.ts";
import { joined } from "./hello-builder.ts";
import { type Answers, RecordingOutput } from "./recording-output.ts";
import {
  START_MS,
  testCrypto,
  type TestServer,
  testServer,
  type TestServerOptions,
} from "./server-config.ts";

export interface PairOptions extends Answers {
  /** A server that exists (then its tickets and ECH keys live on), or what to make one of. */
  readonly server?: TestServer | TestServerOptions;
  /** `crypto`, `now`, `roots` and serverName "a.example" are given; ech true: the server's own configs. */
  readonly client?: Omit<Partial<ClientOptions>, "ech"> & {
    readonly ech?: ClientOptions["ech"] | true;
  };
  /** Bytes per delivery, both ways; 1: one by one. Default: as written. */
  readonly chunkBytes?: number;
  readonly nowMs?: number;
  /** Do not call `flushed()`: the server's bytes lie in the socket. */
  readonly holdFlushed?: boolean;
}

export class Pair {
  readonly test: TestServer;
  readonly output: RecordingOutput;
  readonly server: ServerConnection;
  readonly #options: PairOptions;
  /** Wire bytes of the client, one entry per write. */
  readonly clientWire: Uint8Array[] = [];
  nowMs: number;
  /** What either side threw; the server's also where the client's alert told it so. */
  serverError: TlsError | undefined;
  clientError: ClientError | undefined;
  #client: ClientConnection | undefined;
  readonly #toServer: Uint8Array[] = [];
  readonly #toClient: Uint8Array[] = [];
  #wake: (() => void) | undefined;
  #isOver = false;

  /** Both sides done. @throws {ClientError} */
  static async connect(options: PairOptions = {}): Promise<Pair> {
    const pair = await Pair.attempt(options);
    if (pair.clientError !== undefined) throw pair.clientError;
    if (pair.serverError !== undefined) throw pair.serverError;
    return pair;
  }

  /** A handshake, and all that the server says to it at once. Does not throw for a failed one. */
  static async attempt(options: PairOptions = {}): Promise<Pair> {
    const pair = await Pair.open(options);
    await pair.handshake();
    return pair;
  }

  /** Not yet started: for tests that answer the server's questions later. */
  static async open(options: PairOptions = {}): Promise<Pair> {
    const { server = {} } = options;
    return new Pair("config" in server ? server : await testServer(server), options);
  }

  constructor(test: TestServer, options: PairOptions = {}) {
    this.test = test;
    this.#options = options;
    this.nowMs = options.nowMs ?? START_MS;
    this.output = new RecordingOutput(test.site, options);
    this.server = new ServerConnection(test.config, this.output);
    this.output.connection = this.server;
    this.output.onSend = (bytes) => this.#deliver(bytes);
  }

  async handshake(): Promise<void> {
    try {
      this.#client = await connect(this.#transport(), this.#clientOptions());
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
      this.clientError = error;
      return;
    }
    await this.settle();
  }

  get client(): ClientConnection {
    if (this.#client === undefined) {
      throw this.clientError ?? new Error("The client is not connected");
    }
    return this.#client;
  }

  /** The server's facts. */
  get negotiated(): Negotiated | undefined {
    return this.output.negotiated;
  }

  /** The alert that the client received. */
  get alert(): ClientError["alertReceived"] {
    return this.clientError?.alertReceived;
  }

  /** All wire bytes of the server. */
  get serverWire(): Uint8Array {
    return joined(this.output.sent);
  }

  /** Lets the client take what the server has sent; its failure becomes `clientError`. */
  async settle(): Promise<void> {
    const client = this.#client;
    if (client === undefined) return;
    try {
      this.pump();
      await client.poll();
      while (this.#toClient.length > 0 && !client.isEnded && client.failure === undefined) {
        await client.step();
      }
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
    }
    this.clientError ??= client.failure;
  }

  /** The tickets that the server has not sent yet, and all sessions that the client has then. */
  async tickets(): Promise<ClientConnection["sessions"]> {
    this.server.flushTickets();
    await this.settle();
    return this.client.sessions;
  }

  /** Application data from the server. */
  serverSays(bytes: Uint8Array): void {
    const copy = bytes.slice();
    this.server.send(copy, 0, copy.length);
    copy.fill(0xee);
    if (!this.#options.holdFlushed) this.server.flushed();
  }

  /** Turns of the event loop until it holds. @throws after 5 seconds */
  async until(condition: (pair: this) => boolean): Promise<void> {
    const end = performance.now() + 5000;
    while (!condition(this)) {
      if (performance.now() > end) throw new Error(`Still waiting in ${this.server.state}`);
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
  }

  /** Bytes from the client that the server was not ready for, now that it was answered. */
  pump(): void {
    while (this.#toServer.length > 0 && this.serverError === undefined && this.server.wantsInput) {
      this.#receive(this.#toServer.shift()!);
    }
  }

  /** Raw bytes into the server, as if the client had sent them. */
  inject(bytes: Uint8Array): void {
    this.#toServer.push(...chunks(bytes, this.#options.chunkBytes));
    this.pump();
  }

  #receive(bytes: Uint8Array): void {
    try {
      this.server.receive(bytes, this.nowMs);
    } catch (error) {
      if (!(error instanceof TlsError)) throw error;
      this.serverError = error;
      this.#over();
      return;
    }
    if (this.output.received !== undefined) {
      this.serverError = this.output.received;
      return this.#over();
    }
    if (!this.#options.holdFlushed) this.server.flushed();
  }

  #deliver(bytes: Uint8Array): void {
    this.#toClient.push(...chunks(bytes, this.#options.chunkBytes));
    this.#wake?.();
  }

  #over(): void {
    this.#isOver = true;
    this.#wake?.();
  }

  #transport(): Transport {
    return {
      write: (bytes) => {
        this.clientWire.push(bytes.slice());
        this.inject(bytes);
      },
      read: async () => {
        while (this.#toClient.length === 0) {
          this.pump();
          if (this.#toClient.length > 0) break;
          if (this.#isOver) return undefined;
          await new Promise<void>((resolve) => this.#wake = resolve);
        }
        return this.#toClient.shift();
      },
      close: () => this.#over(),
    };
  }

  #clientOptions(): ClientOptions {
    const { ech, ...given } = this.#options.client ?? {};
    const { configList } = this.test;
    if (ech === true && configList === undefined) {
      throw new RangeError("Cannot offer ECH: the server has no configs");
    }
    return {
      crypto: testCrypto,
      serverName: "a.example",
      roots: this.test.roots,
      now: () => this.nowMs,
      ...(ech === undefined ? {} : { ech: ech === true ? { configList: configList! } : ech }),
      ...given,
    };
  }
}

function chunks(bytes: Uint8Array, size: number = bytes.length): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += size) parts.push(bytes.slice(at, at + size));
  return parts;
}
