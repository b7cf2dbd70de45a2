/**
 * The first half of the handshake: from the ClientHello to the server's answer (RFC 9846 §2).
 * @module
 */
import type { Refusal, SiteConfig } from "./config.ts";
import { openSecondEch } from "./ech.ts";
import { TlsError } from "./error.ts";
import type { Limits } from "./limits.ts";
import type { Link } from "./link.ts";
import { negotiate, type Plan } from "./negotiate.ts";
import { type Offer, readOffer } from "./offer.ts";
import { sendServerHello } from "./server-flight.ts";
import { endsRecord, refuseMessage, type State } from "./state.ts";
import { Transcript } from "./transcript.ts";
import { checkSecondClientHello, type ClientHello, parseClientHello } from "./wire/client-hello.ts";
import { ContentType, HandshakeType } from "./wire/code-points.ts";
import { encodeHelloRetryRequest } from "./wire/server-hello.ts";
import { Writer } from "./wire/writer.ts";

export class ExpectClientHello implements State {
  readonly name = "ExpectClientHello";
  readonly parked = false;

  limitFor(type: number, limits: Limits): number | undefined {
    return type === HandshakeType.client_hello ? limits.maxClientHello : undefined;
  }

  handle(message: Uint8Array, last: boolean, link: Link): State {
    const offer = readOffer(message, last, link.config);
    link.ech = offer.status;
    link.reader.allowChangeCipherSpec = true;
    const choice = link.out.chooseSite(offer.hello, offer.status);
    if (choice !== undefined) return answerOffer(offer, choice, link);
    offer.hello.detach();
    return new AwaitSite(offer);
  }
}

/** Nothing has been answered yet: the name may take an order at a CA to be ready. */
export class AwaitSite implements State {
  readonly name = "AwaitSite";
  readonly parked = true;
  readonly #offer: Offer;

  constructor(offer: Offer) {
    this.#offer = offer;
  }

  limitFor(): undefined {
    return undefined;
  }

  handle(): State {
    return refuseMessage(this);
  }

  useSite(choice: SiteConfig | Refusal, link: Link): State {
    return answerOffer(this.#offer, choice, link);
  }
}

function answerOffer(offer: Offer, choice: SiteConfig | Refusal, link: Link): State {
  const plan = negotiate(offer, choice, link.config, link.nowMs);
  const transcript = new Transcript(link.config.crypto, plan.suite.hash);
  if (!offer.hello.hasKeyShare(plan.group)) {
    return sendHelloRetryRequest(offer, plan, transcript, link);
  }
  if (offer.hello.offersEarlyData) link.reader.skipEarlyData();
  return sendServerHello(offer.hello, { offer, plan, retried: false }, transcript, link);
}

/** RFC 9846 §4.2.4, RFC 9849 §7.2.1. */
function sendHelloRetryRequest(
  offer: Offer,
  plan: Plan,
  transcript: Transcript,
  link: Link,
): State {
  const { hello, status } = offer;
  const { config } = link;
  const { crypto } = config;
  transcript.update(hello.bytes);
  transcript.startOver();

  let ech: Uint8Array | undefined;
  if (offer.ech !== undefined) ech = new Uint8Array(8); // zero until it is known what it confirms
  else if (config.greaseHelloRetry && config.ech !== undefined && status.outcome === "rejected") {
    ech = crypto.random(8);
  }
  scratch.reset();
  encodeHelloRetryRequest(scratch, {
    sessionId: hello.sessionId,
    cipherSuite: plan.cipherSuite,
    group: plan.group,
    ech,
  });
  const message = scratch.view();
  if (offer.ech !== undefined) {
    const confirmation = crypto.schedule.echConfirmation(
      plan.suite.hash,
      hello.random,
      "hrr ech accept confirmation",
      transcript.digestWith(message),
    );
    message.set(confirmation, message.length - confirmation.length);
  }
  transcript.update(message);
  link.write(ContentType.handshake, message, 0, message.length);
  link.writeChangeCipherSpec();

  hello.detach();
  if (hello.offersEarlyData) link.reader.skipEarlyData();
  return new ExpectSecondClientHello(offer, plan, transcript);
}

class ExpectSecondClientHello implements State {
  readonly name = "ExpectSecondClientHello";
  readonly parked = false;
  readonly #offer: Offer;
  readonly #plan: Plan;
  /** message_hash ‖ HelloRetryRequest. */
  readonly #transcript: Transcript;

  constructor(offer: Offer, plan: Plan, transcript: Transcript) {
    this.#offer = offer;
    this.#plan = plan;
    this.#transcript = transcript;
  }

  limitFor(type: number, limits: Limits): number | undefined {
    return type === HandshakeType.client_hello ? limits.maxClientHello : undefined;
  }

  handle(message: Uint8Array, last: boolean, link: Link): State {
    link.reader.endSkipping();
    const outer = parseClientHello(message);
    endsRecord(last, "the second ClientHello");
    const { ech, hello: first } = this.#offer;
    const hello = ech === undefined ? outer : openSecondEch(outer, ech);
    hello.checkExtensions();
    checkSecondClientHello(first, hello, this.#plan.group);
    hello.checkKeyShares();
    const plan = followPsk(first, hello, this.#plan);
    return sendServerHello(
      hello,
      { offer: this.#offer, plan, retried: true },
      this.#transcript,
      link,
    );
  }
}

/** The ticket chosen from the first hello must still be there, if at another place (tls13-server §4). */
function followPsk(first: ClientHello, second: ClientHello, plan: Plan): Plan {
  if (plan.resume === undefined) return plan;
  if (second.pskCount === 0) throw new TlsError("second ClientHello without PSKs");
  const chosen = first.pskIdentity(plan.resume.index);
  for (let index = 0; index < second.pskCount; index++) {
    if (sameBytes(chosen, second.pskIdentity(index))) {
      return { ...plan, resume: { ...plan.resume, index } };
    }
  }
  throw new TlsError("second ClientHello without its PSK");
}

/** Of public values only: it stops at the first difference. */
function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** For the HelloRetryRequest alone; used within one call. */
const scratch = new Writer(256);
