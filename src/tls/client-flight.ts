/**
 * The client's second flight: [Certificate [CertificateVerify]] Finished (RFC 9846 §4.5).
 * @module
 */
import type { ApplicationSecrets, Suite } from "../crypto/crypto.ts";
import type { ClientAuth, LeafKey } from "./config.ts";
import { TlsError } from "./error.ts";
import type { Limits } from "./limits.ts";
import type { Link } from "./link.ts";
import type { ClientVerdict, Negotiated } from "./output.ts";
import { endsRecord, refuseMessage, type State } from "./state.ts";
import { SCHEME_NAMES } from "./suites.ts";
import { type TicketPlan, Traffic } from "./traffic.ts";
import type { Transcript } from "./transcript.ts";
import {
  decodeCertificate,
  decodeCompressedCertificate,
  type DecodedCertificate,
} from "./wire/certificate.ts";
import { certificateVerifyContent, decodeCertificateVerify } from "./wire/certificate-verify.ts";
import { HandshakeType } from "./wire/code-points.ts";
import { decodeFinished } from "./wire/finished.ts";

/** What is left of a handshake once the server's Finished is out. */
export interface ClientHalf {
  readonly suite: Suite;
  readonly application: ApplicationSecrets;
  readonly facts: Negotiated;
}

/** A Finished whose expected value depends on a client certificate: the transcript goes on until then. */
interface AuthenticatedHalf extends ClientHalf {
  readonly clientFinishedKey: Uint8Array;
  readonly transcript: Transcript;
}

export class ExpectCertificate implements State {
  readonly name = "ExpectCertificate";
  readonly parked = false;
  readonly #half: AuthenticatedHalf;
  readonly #auth: ClientAuth;

  constructor(
    half: ClientHalf,
    auth: ClientAuth,
    clientFinishedKey: Uint8Array,
    transcript: Transcript,
  ) {
    this.#half = { ...half, clientFinishedKey, transcript };
    this.#auth = auth;
  }

  limitFor(type: number, limits: Limits): number | undefined {
    const certificate = type === HandshakeType.certificate ||
      type === HandshakeType.compressed_certificate;
    return certificate ? limits.maxCertificateMessage : undefined;
  }

  handle(message: Uint8Array, _last: boolean, link: Link): State {
    const { chain, context } = readChain(message, link);
    if (context.length !== 0) throw new TlsError("bad certificate_request_context");
    this.#half.transcript.update(message);

    const leaf = chain[0];
    if (leaf === undefined) {
      const { mode } = this.#auth;
      if (mode === "require" || mode === "require_and_verify") {
        throw new TlsError("certificate required");
      }
      return expectFinished(this.#half, this.#half.facts, link);
    }
    const key = link.config.readCertificate(leaf);
    if (key === undefined) throw new TlsError("unparsable certificate");
    if (!key.maySign) throw new TlsError("unsupported certificate", "keyUsage");
    return new ExpectCertificateVerify(this.#half, this.#auth, chain, key);
  }
}

/** Certificate, or CompressedCertificate if we asked for it (RFC 8879 §4); the chain is a copy. */
function readChain(message: Uint8Array, link: Link): DecodedCertificate {
  const { limits } = link.config;
  const requested = { ocsp: false, sct: false };
  if (message[0] === HandshakeType.certificate) {
    return copied(decodeCertificate(message, limits, requested));
  }
  if (link.config.decompress.size === 0) throw new TlsError("unexpected message");
  const { algorithm, uncompressedLength, data } = decodeCompressedCertificate(message);
  const decompress = link.config.decompress.get(algorithm);
  if (decompress === undefined) throw new TlsError("unoffered certificate compression");
  if (uncompressedLength > limits.maxCertificateMessage) {
    throw new TlsError("bad compressed certificate", `${uncompressedLength} bytes`);
  }
  let body: Uint8Array;
  try {
    body = decompress(data, uncompressedLength);
  } catch (cause) {
    const error = new TlsError("bad compressed certificate");
    error.cause = cause;
    throw error;
  }
  if (body.length !== uncompressedLength) {
    throw new TlsError("bad compressed certificate", "not the declared length");
  }
  const whole = new Uint8Array(4 + body.length);
  whole.set([HandshakeType.certificate, body.length >>> 16, body.length >>> 8, body.length]);
  whole.set(body, 4);
  return decodeCertificate(whole, limits, requested);
}

function copied(decoded: DecodedCertificate): DecodedCertificate {
  return { ...decoded, chain: decoded.chain.map((der) => der.slice()) };
}

class ExpectCertificateVerify implements State {
  readonly name = "ExpectCertificateVerify";
  readonly parked = false;
  readonly #half: AuthenticatedHalf;
  readonly #auth: ClientAuth;
  readonly #chain: readonly Uint8Array[];
  readonly #key: LeafKey;

  constructor(
    half: AuthenticatedHalf,
    auth: ClientAuth,
    chain: readonly Uint8Array[],
    key: LeafKey,
  ) {
    this.#half = half;
    this.#auth = auth;
    this.#chain = chain;
    this.#key = key;
  }

  limitFor(type: number, limits: Limits): number | undefined {
    return type === HandshakeType.certificate_verify ? limits.maxHandshakeMessage : undefined;
  }

  handle(message: Uint8Array, _last: boolean, link: Link): State {
    const { scheme, signature } = decodeCertificateVerify(message);
    const name = SCHEME_NAMES.get(scheme);
    if (name === undefined || !this.#key.schemes.includes(name)) {
      throw new TlsError("unoffered signature scheme");
    }
    const { transcript } = this.#half;
    const content = certificateVerifyContent("client", transcript.digest());
    if (!link.config.crypto.verify(name, this.#key.spki, content, signature)) {
      throw new TlsError("incorrect CertificateVerify");
    }
    transcript.update(message);
    const { mode } = this.#auth;
    if (mode === "request" || mode === "require") {
      return expectFinished(
        this.#half,
        identified(this.#half.facts, this.#chain, "unverified"),
        link,
      );
    }
    return new AwaitClientVerdict(this.#half, this.#auth, this.#chain);
  }
}

/** The key is proven; whether the chain is good is for others to say. */
export class AwaitClientVerdict implements State {
  readonly name = "AwaitClientVerdict";
  readonly parked = true;
  readonly #half: AuthenticatedHalf;
  readonly #auth: ClientAuth;
  readonly #chain: readonly Uint8Array[];

  constructor(half: AuthenticatedHalf, auth: ClientAuth, chain: readonly Uint8Array[]) {
    this.#half = half;
    this.#auth = auth;
    this.#chain = chain;
  }

  limitFor(): undefined {
    return undefined;
  }

  handle(): State {
    return refuseMessage(this);
  }

  enter(link: Link): void {
    link.out.needClientVerdict(this.#chain, this.#auth);
  }

  useVerdict(verdict: ClientVerdict, link: Link): State {
    if ("refuse" in verdict) throw new TlsError(verdict.refuse);
    const facts = identified(this.#half.facts, this.#chain, verdict.verdict);
    return expectFinished(this.#half, facts, link);
  }
}

function identified(
  facts: Negotiated,
  chain: readonly Uint8Array[],
  verdict: "verified" | "unverified",
): Negotiated {
  return { ...facts, client: { chain, verdict } };
}

/** Sites with client certificates issue no tickets, so nothing after the Finished needs the transcript. */
function expectFinished(half: AuthenticatedHalf, facts: Negotiated, link: Link): State {
  const { suite, application, clientFinishedKey, transcript } = half;
  const expected = link.config.crypto.schedule.finished(
    suite.hash,
    clientFinishedKey,
    transcript.digest(),
  );
  return new ExpectFinished({ suite, application, facts }, expected, undefined);
}

export class ExpectFinished implements State {
  readonly name = "ExpectFinished";
  readonly parked = false;
  readonly #half: ClientHalf;
  readonly #expected: Uint8Array;
  readonly #tickets: TicketPlan | undefined;

  constructor(half: ClientHalf, expected: Uint8Array, tickets: TicketPlan | undefined) {
    this.#half = half;
    this.#expected = expected;
    this.#tickets = tickets;
  }

  limitFor(type: number, limits: Limits): number | undefined {
    return type === HandshakeType.finished ? limits.maxHandshakeMessage : undefined;
  }

  handle(message: Uint8Array, last: boolean, link: Link): State {
    endsRecord(last, "Finished");
    if (!link.config.crypto.equal(decodeFinished(message), this.#expected)) {
      throw new TlsError("incorrect Finished");
    }
    link.protectRead(this.#half.suite, this.#half.application.clientKeys);
    link.reader.endHandshake();
    return new Traffic(this.#half, this.#tickets, link.config.keepExporterSecret);
  }
}
