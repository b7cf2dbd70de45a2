/**
 * The server's flight: ServerHello .. Finished (RFC 9846 §4.2.3, §4.4, §4.5).
 *
 * All of it is built in one arena that every connection shares: a flight is finished within one call, and one that
 * must wait for a slow signature takes a copy with it.
 *
 * @module
 */
import type { ApplicationSecrets, HandshakeSecrets, Suite } from "../crypto/crypto.ts";
import { ExpectCertificate, ExpectFinished } from "./client-flight.ts";
import type { ClientAuth } from "./config.ts";
import { TlsError } from "./error.ts";
import { logApplication, logEch, logHandshake } from "./key-log.ts";
import type { Link } from "./link.ts";
import { type Plan, serverNameHash, type Signer } from "./negotiate.ts";
import type { Offer } from "./offer.ts";
import type { Negotiated } from "./output.ts";
import { MAX_INNER_PLAINTEXT } from "./record.ts";
import { refuseMessage, type State } from "./state.ts";
import { GROUP_NAMES, SCHEME_NAMES } from "./suites.ts";
import type { TicketPlan } from "./traffic.ts";
import type { Transcript } from "./transcript.ts";
import { encodeCertificateRequest } from "./wire/certificate-request.ts";
import { certificateVerifyContent, encodeCertificateVerify } from "./wire/certificate-verify.ts";
import type { ClientHello } from "./wire/client-hello.ts";
import { ContentType } from "./wire/code-points.ts";
import { encodeEncryptedExtensions } from "./wire/encrypted-extensions.ts";
import { encodeFinished } from "./wire/finished.ts";
import { encodeServerHello, SERVER_RANDOM_AT } from "./wire/server-hello.ts";
import { Writer } from "./wire/writer.ts";

/** How the hello that is being answered came about. */
export interface Answer {
  readonly offer: Offer;
  readonly plan: Plan;
  /** It is the second one: the change_cipher_spec has been sent. */
  readonly retried: boolean;
}

/**
 * Answers `hello`: ServerHello, then everything that follows it under handshake keys.
 *
 * @param transcript what stands before `hello`: nothing, or message_hash ‖ HelloRetryRequest
 * @throws {TlsError} "incorrect binder", "bad key share"; under handshake keys the plan's refusal, "signer failed"
 */
export function sendServerHello(
  hello: ClientHello,
  answer: Answer,
  transcript: Transcript,
  link: Link,
): State {
  const { offer, plan, retried } = answer;
  const { crypto, keyLog } = link.config;
  if (plan.resume !== undefined) verifyBinder(hello, plan, transcript, link);
  transcript.update(hello.bytes);

  const shared = crypto.answerShare(
    GROUP_NAMES.get(plan.group)!,
    hello.keyShare(plan.group)!,
  );
  if (shared === undefined) throw new TlsError("bad key share");

  arena.reset();
  encodeServerHello(arena, {
    random: crypto.random(32),
    sessionId: hello.sessionId,
    cipherSuite: plan.cipherSuite,
    keyShare: { group: plan.group, keyExchange: shared.share },
    selectedIdentity: plan.resume?.index,
  });
  const serverHello = arena.view();
  if (offer.ech !== undefined) {
    confirmEch(serverHello, offer, plan.suite, transcript, link);
    logEch(keyLog, offer.ech);
  }
  transcript.update(serverHello);
  const psk = plan.resume?.ticket.psk;
  const secrets = crypto.schedule.handshake(plan.suite, psk, shared.secret, transcript.digest());
  logHandshake(keyLog, offer.hello.random, secrets);

  link.write(ContentType.handshake, serverHello, 0, serverHello.length);
  if (!retried) link.writeChangeCipherSpec();
  link.protectWrite(plan.suite, secrets.serverKeys);
  limitRecordSizes(hello, link);
  if (plan.refusal !== undefined) throw new TlsError(plan.refusal);
  return sendParameters(new Flow(hello, answer, transcript, secrets, link), link);
}

/** EncryptedExtensions, CertificateRequest, Certificate; then CertificateVerify and Finished, now or later. */
function sendParameters(flow: Flow, link: Link): State {
  const { plan, offer } = flow;
  const { hello } = flow;
  const { config } = link;
  arena.reset();
  encodeEncryptedExtensions(arena, {
    serverName: hello.serverName !== undefined && plan.resume === undefined,
    alpn: plan.alpn,
    recordSizeLimit: hello.recordSizeLimit === undefined
      ? undefined
      : config.limits.recordSizeLimit,
    supportedGroups: undefined,
    expectedTickets: hello.ticketRequest === undefined ? undefined : flow.ticketCount,
    retryConfigs: offer.status.outcome === "rejected" ? config.ech?.retryConfigs : undefined,
  });
  const signer = plan.signer;
  if (signer === undefined) {
    flow.transcript.update(arena.view());
    return sendFinished(flow, link);
  }
  if (flow.clientAuth !== undefined) {
    encodeCertificateRequest(arena, {
      signatureSchemes: CLIENT_SCHEMES,
      authorities: flow.clientAuth.authorities,
      compression: [...config.decompress.keys()],
    });
  }
  arena.bytes(signer.credential.certificateMessage(hello, config.compress));
  flow.transcript.update(arena.view());

  const content = certificateVerifyContent("server", flow.transcript.digest());
  if (signer.credential.sign === undefined) {
    return new AwaitSignature(flow, arena.copy(), signer, content);
  }
  return sendSignature(flow, signNow(signer, content), link);
}

function signNow(signer: Signer, content: Uint8Array): Uint8Array {
  try {
    return signer.credential.sign!(signer.scheme, content);
  } catch (cause) {
    const error = new TlsError("signer failed");
    error.cause = cause;
    throw error;
  }
}

function sendSignature(flow: Flow, signature: Uint8Array, link: Link): State {
  const from = arena.length;
  encodeCertificateVerify(arena, flow.plan.signer!.scheme, signature);
  flow.transcript.update(arena.view(from));
  return sendFinished(flow, link);
}

/** Finished, and with it the end of the flight; what the client must answer is known from here on. */
function sendFinished(flow: Flow, link: Link): State {
  const { plan, transcript, secrets } = flow;
  const { suite } = plan;
  const { schedule } = link.config.crypto;
  const from = arena.length;
  encodeFinished(
    arena,
    schedule.finished(suite.hash, secrets.serverFinishedKey, transcript.digest()),
  );
  transcript.update(arena.view(from));
  const finishedHash = transcript.digest();
  const application = schedule.application(suite, secrets.main, finishedHash);
  logApplication(link.config.keyLog, flow.offer.hello.random, application);

  const messages = arena.view();
  link.write(ContentType.handshake, messages, 0, messages.length, link.config.flightPadding);
  link.protectWrite(suite, application.serverKeys);
  link.protectRead(suite, secrets.clientKeys);

  const half = flow.clientHalf(application);
  if (flow.clientAuth !== undefined) {
    return new ExpectCertificate(half, flow.clientAuth, secrets.clientFinishedKey, transcript);
  }
  const expected = schedule.finished(suite.hash, secrets.clientFinishedKey, finishedHash);
  const tickets = flow.ticketPlan(expected, link);
  transcript.end();
  return new ExpectFinished(half, expected, tickets);
}

/** The key takes its time; no input is taken meanwhile. */
export class AwaitSignature implements State {
  readonly name = "AwaitSignature";
  readonly parked = true;
  readonly #flow: Flow;
  /** EncryptedExtensions .. Certificate: the arena is others' while this waits. */
  readonly #messages: Uint8Array;
  readonly #signer: Signer;
  readonly #content: Uint8Array;

  constructor(flow: Flow, messages: Uint8Array, signer: Signer, content: Uint8Array) {
    flow.detach();
    this.#flow = flow;
    this.#messages = messages;
    this.#signer = signer;
    this.#content = content;
  }

  limitFor(): undefined {
    return undefined;
  }

  handle(): State {
    return refuseMessage(this);
  }

  enter(link: Link): void {
    const { credential, scheme } = this.#signer;
    link.hold();
    link.out.needSignature({ credential, scheme, content: this.#content });
  }

  useSignature(signature: Uint8Array, link: Link): State {
    arena.reset().bytes(this.#messages);
    return sendSignature(this.#flow, signature, link);
  }
}

/** What the steps of one flight hand on to one another. */
class Flow {
  readonly hello: ClientHello;
  readonly offer: Offer;
  readonly plan: Plan;
  readonly retried: boolean;
  readonly transcript: Transcript;
  readonly secrets: HandshakeSecrets;
  readonly ticketCount: number;

  constructor(
    hello: ClientHello,
    answer: Answer,
    transcript: Transcript,
    secrets: HandshakeSecrets,
    link: Link,
  ) {
    this.hello = hello;
    this.offer = answer.offer;
    this.plan = answer.plan;
    this.retried = answer.retried;
    this.transcript = transcript;
    this.secrets = secrets;
    this.ticketCount = countTickets(hello, answer.plan, link);
  }

  /** No CertificateRequest goes with a PSK (RFC 9846 §4.4.2). */
  get clientAuth(): ClientAuth | undefined {
    return this.plan.resume === undefined ? this.plan.site?.clientAuth : undefined;
  }

  detach(): void {
    this.hello.detach();
    this.offer.hello.detach();
  }

  clientHalf(application: ApplicationSecrets) {
    return { suite: this.plan.suite, application, facts: this.#facts() };
  }

  /** Everything that tickets will need once the client's Finished is in, so that no transcript is kept for them. */
  ticketPlan(clientVerifyData: Uint8Array, link: Link): TicketPlan | undefined {
    if (this.ticketCount === 0) return undefined;
    const { plan, hello, transcript } = this;
    const { schedule } = link.config.crypto;
    arena.reset();
    encodeFinished(arena, clientVerifyData);
    const resumptionSecret = schedule.resumption(
      plan.suite.hash,
      this.secrets.main,
      transcript.digestWith(arena.view()),
    );
    return {
      count: this.ticketCount,
      resumptionSecret,
      cipherSuite: plan.cipherSuite,
      alpn: plan.alpn,
      serverNameHash: serverNameHash(hello, link.config),
      policyId: plan.site!.policyId,
      echAccepted: this.offer.ech !== undefined,
      authenticatedSeconds: plan.resume?.ticket.authenticatedSeconds ??
        Math.floor(link.nowMs / 1000),
    };
  }

  #facts(): Negotiated {
    const { plan, hello, offer } = this;
    return {
      cipherSuite: plan.cipherSuite,
      group: plan.group,
      signatureScheme: plan.signer?.scheme,
      alpn: plan.alpn,
      serverName: hello.serverNameText,
      resumed: plan.resume !== undefined,
      helloRetried: this.retried,
      ech: offer.status,
      client: undefined,
    };
  }
}

/** None without psk_dhe_ke, none where clients show certificates; else as many as asked, within our limit. */
function countTickets(hello: ClientHello, plan: Plan, link: Link): number {
  const { tickets, limits } = link.config;
  const site = plan.site;
  if (tickets === undefined || site === undefined || !site.tickets) return 0;
  if (site.clientAuth !== undefined || !hello.offersPskDheKe) return 0;
  const request = hello.ticketRequest;
  if (request === undefined) {
    return plan.resume === undefined ? limits.ticketCount : Math.min(1, limits.ticketCount);
  }
  const asked = plan.resume === undefined ? request.newSessionCount : request.resumptionCount;
  return Math.min(asked, limits.ticketCount);
}

/** RFC 8449 §4: each side's limit binds the other, and ours only a client to whom it is said. */
function limitRecordSizes(hello: ClientHello, link: Link): void {
  const theirs = hello.recordSizeLimit;
  if (theirs === undefined) link.reader.maxInnerPlaintext = MAX_INNER_PLAINTEXT;
  else link.writer.maxInnerPlaintext = Math.min(theirs, MAX_INNER_PLAINTEXT);
}

function verifyBinder(
  hello: ClientHello,
  plan: Plan,
  transcript: Transcript,
  link: Link,
): void {
  const { crypto } = link.config;
  const { index, ticket } = plan.resume!;
  const truncated = transcript.digestWith(hello.bytes, hello.bindersAt);
  const expected = crypto.schedule.binder(plan.suite.hash, ticket.psk, truncated);
  if (!crypto.equal(expected, hello.pskBinder(index))) throw new TlsError("incorrect binder");
}

/** The last 8 bytes of the random tell the client, and nobody else, that ECH was accepted (RFC 9849 §7.2). */
function confirmEch(
  serverHello: Uint8Array,
  offer: Offer,
  suite: Suite,
  transcript: Transcript,
  link: Link,
): void {
  const at = SERVER_RANDOM_AT + 24;
  serverHello.fill(0, at, at + 8);
  const confirmation = link.config.crypto.schedule.echConfirmation(
    suite.hash,
    offer.hello.random,
    "ech accept confirmation",
    transcript.digestWith(serverHello),
  );
  serverHello.set(confirmation, at);
}

/** What a client may sign its CertificateVerify with. */
export const CLIENT_SCHEMES: readonly number[] = [...SCHEME_NAMES.keys()];

/** Large enough for a flight with a long chain; it grows if it must and stays that large. */
const arena = new Writer(16384);
