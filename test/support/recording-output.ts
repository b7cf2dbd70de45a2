/**
 * An `Output` that keeps copies of all it is told and spoils every view behind it, so that nobody keeps one.
 * @module
 */
import type { ClientAuth, Refusal, SiteConfig } from "../../src/tls/config.ts";
import type { TlsError } from "../../src/tls/error.ts";
import type {
  ClientVerdict,
  EchStatus,
  Negotiated,
  Output,
  SignatureRequest,
} from "../../src/tls/output.ts";
import type { ClientHello } from "../../src/tls/wire/client-hello.ts";
import type { ServerConnection } from "../../src/tls/connection.ts";
import { joined } from "./hello-builder.ts";

/** What a test may answer in the server's stead. Undefined: nothing yet, the test calls `use…` later. */
export interface Answers {
  readonly chooseSite?: (hello: ClientHello, ech: EchStatus) => SiteConfig | Refusal | undefined;
  readonly signature?: (request: SignatureRequest) => Uint8Array | "fail" | undefined;
  readonly verdict?: (
    chain: readonly Uint8Array[],
    auth: ClientAuth,
  ) => ClientVerdict | undefined;
}

export class RecordingOutput implements Output {
  /** The connection that speaks through it. */
  connection!: ServerConnection;
  readonly #site: SiteConfig;
  readonly #answers: Answers;
  /** One entry per flight. */
  readonly sent: Uint8Array[] = [];
  /** Questions for a site, in order: the name as the hello has it, and what was said of ECH. */
  readonly asked: { readonly name: string | undefined; readonly ech: EchStatus }[] = [];
  readonly signatures: SignatureRequest[] = [];
  readonly clientChains: (readonly Uint8Array[])[] = [];
  negotiated: Negotiated | undefined;
  isClosed = false;
  /** The peer's fatal alert. */
  received: TlsError | undefined;
  readonly #plaintext: Uint8Array[] = [];
  onSend: (bytes: Uint8Array) => void = () => undefined;

  constructor(site: SiteConfig, answers: Answers = {}) {
    this.#site = site;
    this.#answers = answers;
  }

  /** All application data so far. */
  get plaintextReceived(): Uint8Array {
    return joined(this.#plaintext);
  }

  send(bytes: Uint8Array, start: number, end: number): void {
    const copy = bytes.slice(start, end);
    bytes.fill(0xee, start, end);
    this.sent.push(copy);
    this.onSend(copy);
  }

  chooseSite(hello: ClientHello, ech: EchStatus): SiteConfig | Refusal | undefined {
    this.asked.push({ name: hello.serverNameText, ech });
    return this.#answers.chooseSite === undefined
      ? this.#site
      : this.#answers.chooseSite(hello, ech);
  }

  needSignature(request: SignatureRequest): void {
    this.signatures.push(request);
    const signature = this.#answers.signature?.(request);
    if (signature === "fail") this.connection.failSignature();
    else if (signature !== undefined) this.connection.useSignature(signature);
  }

  needClientVerdict(chain: readonly Uint8Array[], auth: ClientAuth): void {
    this.clientChains.push(chain);
    const verdict = this.#answers.verdict === undefined
      ? { verdict: "unverified" } as const
      : this.#answers.verdict(chain, auth);
    if (verdict !== undefined) this.connection.useClientVerdict(verdict);
  }

  established(facts: Negotiated): void {
    this.negotiated = facts;
  }

  plaintext(bytes: Uint8Array, start: number, end: number): void {
    this.#plaintext.push(bytes.slice(start, end));
    bytes.fill(0xee, start, end);
  }

  closed(): void {
    this.isClosed = true;
  }

  alerted(error: TlsError): void {
    this.received = error;
  }
}
