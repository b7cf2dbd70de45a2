/**
 * One connection of the shim: handshake, the runner's expectations, then an echo of every byte inverted.
 * @module
 */
import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";
import type { Refusal, SiteConfig } from "../../src/tls/config.ts";
import { ServerConnection } from "../../src/tls/connection.ts";
import type { TlsError } from "../../src/tls/error.ts";
import type { Negotiated, Output, SignatureRequest } from "../../src/tls/output.ts";
import type { ClientHello } from "../../src/tls/wire/client-hello.ts";
import type { Flags, Wanted } from "./flags.ts";
import { readChain, type Server, serverOf } from "./server.ts";

/** Plays one connection to its end. Rejects with whatever went wrong: a TlsError, or an expectation not met. */
export async function exchange(wanted: Wanted, isResumed: boolean): Promise<void> {
  const { flags } = wanted;
  const server = serverOf(wanted);
  const socket = connect({
    host: flags.has("-ipv6") ? "::1" : "127.0.0.1",
    port: flags.number("-port")!,
    allowHalfOpen: true,
    noDelay: true,
  });
  const id = Buffer.alloc(8);
  id.writeBigUInt64LE(BigInt(flags.text("-shim-id") ?? "0"));
  socket.write(id);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let failure: unknown;
  const run = new Exchange(socket, server, flags, isResumed, (error) => failure ??= error);
  socket.on("data", (bytes) => run.receive(new Uint8Array(bytes)));
  socket.on("end", () => run.fin());
  socket.on("error", (error) => run.lost(error));
  socket.on("close", () => failure === undefined ? resolve() : reject(failure));
  await promise;
}

class Exchange implements Output {
  readonly #socket: Socket;
  readonly #server: Server;
  readonly #flags: Flags;
  readonly #isResumed: boolean;
  readonly #onFailure: (error: unknown) => void;
  readonly #connection: ServerConnection;
  readonly #isAsync: boolean;
  /** What has come while the connection waited for an answer of ours. */
  #unread: Uint8Array[] = [];
  #failed = false;
  #finished = false;

  constructor(
    socket: Socket,
    server: Server,
    flags: Flags,
    isResumed: boolean,
    onFailure: (error: unknown) => void,
  ) {
    this.#socket = socket;
    this.#server = server;
    this.#flags = flags;
    this.#isResumed = isResumed;
    this.#onFailure = onFailure;
    this.#isAsync = flags.has("-async");
    this.#connection = new ServerConnection(server.config, this);
  }

  receive(bytes: Uint8Array): void {
    if (this.#failed) return;
    if (this.#isAsync) {
      for (let i = 0; i < bytes.length; i++) this.#unread.push(bytes.slice(i, i + 1));
    } else this.#unread.push(bytes);
    this.#pump();
  }

  fin(): void {
    if (this.#failed) return;
    this.#do(() => {
      if (!this.#connection.isEstablished) throw new Error("the peer closed during the handshake");
      this.#connection.closeWrite();
      this.#socket.end();
    });
  }

  /** The runner closes without reading all that it was sent, and TCP answers what is still to come with a reset. */
  lost(error: Error): void {
    if (!this.#failed && !this.#connection.isEstablished) this.#onFailure(error);
  }

  send(bytes: Uint8Array, start: number, end: number): void {
    this.#socket.write(bytes.slice(start, end));
    this.#connection?.flushed();
  }

  chooseSite(hello: ClientHello): SiteConfig | Refusal | undefined {
    const answer = this.#site(hello);
    if (!this.#isAsync) return answer;
    this.#later(() => this.#connection.useSite(answer));
    return undefined;
  }

  #site(hello: ClientHello): SiteConfig | Refusal {
    const flags = this.#flags;
    if (flags.has("-expect-advertised-alpn")) {
      const wanted = flags.text("-expect-advertised-alpn")!;
      const wire = hello.alpnProtocols().map((name) => String.fromCharCode(name.length) + name);
      if (wire.join("") !== wanted) this.#fail(new Error("other protocols than expected"));
    }
    if (flags.has("-fail-ddos-callback") || flags.has("-fail-cert-callback")) {
      return { refuse: "site lookup failed" };
    }
    if (flags.has("-reject-alpn")) return { refuse: "no application protocol in common" };
    return this.#server.site;
  }

  needSignature(request: SignatureRequest): void {
    const sign = this.#server.slowKeys.get(request.credential.id)!;
    this.#later(() => this.#connection.useSignature(sign(request.scheme, request.content)));
  }

  needClientVerdict(chain: readonly Uint8Array[]): void {
    const file = this.#flags.text("-expect-peer-cert-file");
    if (file !== undefined && Buffer.concat(chain).compare(Buffer.concat(readChain(file))) !== 0) {
      this.#fail(new Error("other certificates than expected"));
    }
    const answer = () =>
      this.#connection.useClientVerdict(
        this.#flags.has("-verify-fail")
          ? { refuse: "unknown certificate" }
          : { verdict: "verified" },
      );
    if (this.#isAsync) this.#later(answer);
    else answer();
  }

  established(facts: Negotiated): void {
    this.#expect(facts);
    this.#connection.flushTickets();
  }

  plaintext(bytes: Uint8Array, start: number, end: number): void {
    const echo = bytes.slice(start, end).map((byte) => byte ^ 0xff);
    this.#connection.send(echo, 0, echo.length);
  }

  closed(): void {
    this.#connection.closeWrite();
    this.#socket.end();
  }

  alerted(error: TlsError): void {
    this.#fail(error);
  }

  #expect(facts: Negotiated): void {
    const flags = this.#flags;
    const { observed, site } = this.#server;
    const resumed = this.#isResumed && !flags.has("-expect-session-miss");
    const client = facts.client?.chain ?? [];
    const same = (what: string, flag: string, actual: number | undefined) => {
      const wanted = flags.number(flag);
      if (wanted !== undefined && wanted !== actual) {
        throw new Error(`${what}: ${actual}, expected ${wanted}`);
      }
    };
    const truth = (what: string, actual: boolean, wanted: boolean) => {
      if (actual !== wanted) throw new Error(`${what}: ${actual}, expected ${wanted}`);
    };
    same("cipher suite", "-expect-cipher-aes", facts.cipherSuite);
    same("group", "-expect-curve-id", facts.group);
    same("client's scheme", "-expect-peer-signature-algorithm", observed.clientScheme);
    same("credential", "-expect-selected-credential", observed.credential);
    truth("resumed", facts.resumed, resumed);
    truth("ECH accepted", facts.ech.outcome === "accepted", flags.has("-expect-ech-accept"));
    if (flags.has("-expect-hrr")) truth("HelloRetryRequest", facts.helloRetried, true);
    if (flags.has("-require-any-client-certificate")) truth("certificate", client.length > 0, true);
    truth("protocol", facts.alpn === site.alpn?.[0], true);
    const serverName = flags.text("-expect-server-name");
    if (serverName !== undefined && serverName !== facts.serverName) {
      throw new Error(`server name: ${facts.serverName}, expected ${serverName}`);
    }
  }

  #pump(): void {
    while (!this.#failed && this.#connection.wantsInput) {
      const bytes = this.#unread.shift();
      if (bytes === undefined) return;
      this.#do(() => this.#connection.receive(bytes, Date.now()));
    }
  }

  /** As an event of its own, like a thread's or a database's answer. */
  #later(answer: () => void): void {
    setImmediate(() => {
      this.#do(answer);
      this.#pump();
    });
  }

  #do(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** The alert is out; the peer gets the time to read it. */
  #fail(error: unknown): void {
    this.#failed = true;
    this.#onFailure(error);
    if (!this.#finished) this.#socket.end();
    this.#finished = true;
  }
}
