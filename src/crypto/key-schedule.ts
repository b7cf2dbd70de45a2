/**
 * The key schedule of RFC 9846 §7.1, composed of HMAC and the hash alone.
 *
 *                 0 or PSK ─► Early Secret      ─► binder key
 *                                  │ derived
 *     (EC)DHE ───────────────► Handshake Secret ─► client, server handshake traffic
 *                                  │ derived
 *                        0 ──► Main Secret      ─► client, server application traffic, exporter, resumption
 *
 * Every output is at most one hash long, so each HKDF-Expand is one HMAC over HkdfLabel ‖ 0x01. Those inputs are built
 * once per label and reused: only a context is copied in. They hold no secret; sharing them is safe because nothing
 * here waits or calls back.
 *
 * @module
 */
import type {
  ApplicationSecrets,
  HandshakeSecrets,
  HashName,
  KeySchedule,
  Suite,
  TrafficKeys,
} from "./crypto.ts";
import { hkdfExpand } from "./hkdf.ts";
import type { Hash, Hmac } from "./primitives.ts";
import { smallCopy } from "./small-array.ts";

export class HkdfKeySchedule implements KeySchedule {
  readonly #sha256: HashSchedule;
  readonly #sha384: HashSchedule;

  constructor(hmac: Hmac, digest: Hash["digest"]) {
    this.#sha256 = new HashSchedule(hmac, digest, "sha256", 32);
    this.#sha384 = new HashSchedule(hmac, digest, "sha384", 48);
  }

  binder(hash: HashName, psk: Uint8Array, truncatedHelloHash: Uint8Array): Uint8Array {
    const of = this.#of(hash);
    const early = of.extract(of.zeros, psk);
    const binderKey = of.expandWith(early, of.resumptionBinder, of.emptyHash);
    return of.hmac(hash, of.expand(binderKey, of.finished), truncatedHelloHash);
  }

  handshake(
    suite: Suite,
    psk: Uint8Array | undefined,
    sharedSecret: Uint8Array,
    helloHash: Uint8Array,
  ): HandshakeSecrets {
    const of = this.#of(suite.hash);
    const earlyDerived = psk === undefined
      ? of.earlyDerivedWithoutPsk
      : of.expandWith(of.extract(of.zeros, psk), of.derived, of.emptyHash);
    const secret = of.extract(earlyDerived, sharedSecret);
    const clientTraffic = of.expandWith(secret, of.clientHandshake, helloHash);
    const serverTraffic = of.expandWith(secret, of.serverHandshake, helloHash);
    return {
      clientTraffic,
      serverTraffic,
      clientKeys: of.trafficKeys(clientTraffic, suite.keyLength),
      serverKeys: of.trafficKeys(serverTraffic, suite.keyLength),
      clientFinishedKey: of.expand(clientTraffic, of.finished),
      serverFinishedKey: of.expand(serverTraffic, of.finished),
      main: of.extract(of.expandWith(secret, of.derived, of.emptyHash), of.zeros),
    };
  }

  application(suite: Suite, main: Uint8Array, finishedHash: Uint8Array): ApplicationSecrets {
    const of = this.#of(suite.hash);
    const clientTraffic = of.expandWith(main, of.clientApplication, finishedHash);
    const serverTraffic = of.expandWith(main, of.serverApplication, finishedHash);
    return {
      clientTraffic,
      serverTraffic,
      clientKeys: of.trafficKeys(clientTraffic, suite.keyLength),
      serverKeys: of.trafficKeys(serverTraffic, suite.keyLength),
      exporter: of.expandWith(main, of.exporterMain, finishedHash),
    };
  }

  finished(hash: HashName, finishedKey: Uint8Array, transcriptHash: Uint8Array): Uint8Array {
    return this.#of(hash).hmac(hash, finishedKey, transcriptHash);
  }

  resumption(hash: HashName, main: Uint8Array, clientFinishedHash: Uint8Array): Uint8Array {
    const of = this.#of(hash);
    return of.expandWith(main, of.resumptionMain, clientFinishedHash);
  }

  ticketPsk(hash: HashName, resumptionSecret: Uint8Array, nonce: Uint8Array): Uint8Array {
    const of = this.#of(hash);
    return of.expandWith(resumptionSecret, of.ticket(nonce.length), nonce);
  }

  update(suite: Suite, trafficSecret: Uint8Array): {
    readonly secret: Uint8Array;
    readonly keys: TrafficKeys;
  } {
    const of = this.#of(suite.hash);
    const secret = of.expand(trafficSecret, of.trafficUpdate);
    return { secret, keys: of.trafficKeys(secret, suite.keyLength) };
  }

  exporter(
    hash: HashName,
    exporterSecret: Uint8Array,
    label: string,
    context: Uint8Array,
    length: number,
  ): Uint8Array {
    const of = this.#of(hash);
    const derive = new Label(label, of.length, of.length);
    const secret = of.expandWith(exporterSecret, derive, of.emptyHash);
    const last = new Label("exporter", of.length, length);
    last.setContext(of.digest(hash, context));
    return hkdfExpand(of.hmac, hash, secret, last.info, length);
  }

  echConfirmation(
    hash: HashName,
    innerRandom: Uint8Array,
    label: "ech accept confirmation" | "hrr ech accept confirmation",
    transcriptHash: Uint8Array,
  ): Uint8Array {
    const of = this.#of(hash);
    const secret = of.extract(of.zeros, innerRandom);
    const accept = label === "ech accept confirmation" ? of.echAccept : of.helloRetryEchAccept;
    return of.expandWith(secret, accept, transcriptHash);
  }

  #of(hash: HashName): HashSchedule {
    return hash === "sha256" ? this.#sha256 : this.#sha384;
  }
}

/** The steps, labels and constants of one hash. */
class HashSchedule {
  readonly hash: HashName;
  readonly length: 32 | 48;
  readonly hmac: Hmac;
  readonly digest: Hash["digest"];
  /** 0^L: the salt or input where nothing is available; never a skipped step. */
  readonly zeros: Uint8Array;
  /** Hash(""): the context of labels without messages. */
  readonly emptyHash: Uint8Array;
  /** "derived" of the Early Secret that every handshake without a PSK shares. */
  readonly earlyDerivedWithoutPsk: Uint8Array;

  readonly resumptionBinder: Label;
  readonly derived: Label;
  readonly clientHandshake: Label;
  readonly serverHandshake: Label;
  readonly clientApplication: Label;
  readonly serverApplication: Label;
  readonly exporterMain: Label;
  readonly resumptionMain: Label;
  readonly finished: Label;
  readonly trafficUpdate: Label;
  readonly echAccept: Label;
  readonly helloRetryEchAccept: Label;
  readonly #key16 = new Label("key", 0, 16);
  readonly #key32 = new Label("key", 0, 32);
  readonly #iv = new Label("iv", 0, 12);
  #ticket: Label;

  constructor(hmac: Hmac, digest: Hash["digest"], hash: HashName, length: 32 | 48) {
    this.hash = hash;
    this.length = length;
    this.hmac = hmac;
    this.digest = digest;
    this.zeros = new Uint8Array(length);
    this.emptyHash = digest(hash, new Uint8Array(0));
    const ofMessages = (label: string): Label => new Label(label, length, length);
    this.resumptionBinder = ofMessages("res binder");
    this.derived = ofMessages("derived");
    this.clientHandshake = ofMessages("c hs traffic");
    this.serverHandshake = ofMessages("s hs traffic");
    this.clientApplication = ofMessages("c ap traffic");
    this.serverApplication = ofMessages("s ap traffic");
    this.exporterMain = ofMessages("exp master");
    this.resumptionMain = ofMessages("res master");
    this.finished = new Label("finished", 0, length);
    this.trafficUpdate = new Label("traffic upd", 0, length);
    this.echAccept = new Label("ech accept confirmation", length, 8);
    this.helloRetryEchAccept = new Label("hrr ech accept confirmation", length, 8);
    this.#ticket = new Label("resumption", 1, length);
    const early = this.extract(this.zeros, this.zeros);
    this.earlyDerivedWithoutPsk = this.expandWith(early, this.derived, this.emptyHash);
  }

  /** HKDF-Extract. */
  extract(salt: Uint8Array, input: Uint8Array): Uint8Array {
    return this.hmac(this.hash, salt, input);
  }

  /** HKDF-Expand-Label with an empty context. */
  expand(secret: Uint8Array, label: Label): Uint8Array {
    const block = this.hmac(this.hash, secret, label.input);
    return label.outputLength === block.length ? block : smallCopy(block, 0, label.outputLength);
  }

  /** HKDF-Expand-Label; Derive-Secret where the context is a transcript hash. */
  expandWith(secret: Uint8Array, label: Label, context: Uint8Array): Uint8Array {
    label.setContext(context);
    return this.expand(secret, label);
  }

  trafficKeys(trafficSecret: Uint8Array, keyLength: 16 | 32): TrafficKeys {
    const key = keyLength === 16 ? this.#key16 : this.#key32;
    return { key: this.expand(trafficSecret, key), iv: this.expand(trafficSecret, this.#iv) };
  }

  /** "resumption" with a nonce of this length: a server's are all of one length. */
  ticket(nonceLength: number): Label {
    if (this.#ticket.contextLength !== nonceLength) {
      this.#ticket = new Label("resumption", nonceLength, this.length);
    }
    return this.#ticket;
  }
}

/**
 * struct { uint16 length; opaque label<7..255> = "tls13 " + Label; opaque context<0..255>; } HkdfLabel;  RFC 9846 §7.1
 *
 * `input` is that and the 0x01 of HKDF's first block behind it.
 */
class Label {
  readonly input: Uint8Array;
  readonly outputLength: number;
  readonly contextLength: number;

  constructor(label: string, contextLength: number, outputLength: number) {
    const labelLength = LABEL_PREFIX.length + label.length;
    if (labelLength > 255 || contextLength > 255) {
      throw new RangeError(`Cannot use a label of ${labelLength} and ${contextLength} bytes`);
    }
    const input = new Uint8Array(2 + 1 + labelLength + 1 + contextLength + 1);
    input[0] = outputLength >>> 8;
    input[1] = outputLength;
    input[2] = labelLength;
    const text = LABEL_PREFIX + label;
    for (let i = 0; i < labelLength; i++) input[3 + i] = text.charCodeAt(i);
    input[3 + labelLength] = contextLength;
    input[input.length - 1] = 1;
    this.input = input;
    this.outputLength = outputLength;
    this.contextLength = contextLength;
  }

  get info(): Uint8Array {
    return this.input.subarray(0, -1);
  }

  /** @throws {RangeError} another length than announced: the rest would be an older context's */
  setContext(context: Uint8Array): void {
    if (context.length !== this.contextLength) {
      throw new RangeError(
        `Cannot use a context of ${context.length} bytes where ${this.contextLength} belong`,
      );
    }
    this.input.set(context, this.input.length - 1 - context.length);
  }
}

const LABEL_PREFIX = "tls13 ";
