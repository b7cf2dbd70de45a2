/**
 * A client's offer of ECH: the outer hello made from the inner one, and the sealing (RFC 9849 §5.1, §5.2, §6.1, §6.2).
 *
 * HPKE is hpke-js, never sotto's own: what the server opens was sealed by other hands.
 *
 * @module
 */
import { type AeadId, CipherSuite, type KdfId, type KemId } from "hpke-js";
import type { Crypto } from "../crypto/crypto.ts";
import { ECHClientHelloType, ExtensionType } from "../tls/wire/code-points.ts";
import type { ChosenConfig } from "./ech-config.ts";
import * as ext from "./extensions.ts";
import type { EchOuter, Extension } from "./extensions.ts";
import {
  encodeClientHello,
  encodeClientHelloBody,
  extensionBody,
  type HelloFields,
  withExtension,
  withoutExtension,
} from "./hello.ts";
import type { Attempt, EchOptions } from "./options.ts";

/** What both hellos usually have in common (RFC 9849 §6.1). */
export const COMPRESSED_BY_DEFAULT: readonly number[] = [
  ExtensionType.supported_groups,
  ExtensionType.signature_algorithms,
  ExtensionType.key_share,
  ExtensionType.status_request,
  ExtensionType.signed_certificate_timestamp,
  ExtensionType.compress_certificate,
  ExtensionType.record_size_limit,
];

const TAG = 16;

export interface SealedHello {
  /** The hello to send, a whole message. */
  readonly outer: Uint8Array;
  /** The hello that counts if ECH is accepted, a whole message. */
  readonly inner: Uint8Array;
  /** encrypted_client_hello as sent; undefined where a knob left it out. */
  readonly extension: Extension | undefined;
}

/** One HPKE context: the first hello under sequence 0, one after a HelloRetryRequest under sequence 1. */
export class EchSender {
  readonly chosen: ChosenConfig;
  readonly #options: EchOptions;
  #context: Sealer;

  private constructor(chosen: ChosenConfig, options: EchOptions, context: Sealer) {
    this.chosen = chosen;
    this.#options = options;
    this.#context = context;
  }

  static async open(chosen: ChosenConfig, options: EchOptions): Promise<EchSender> {
    return new EchSender(chosen, options, await setupBaseS(chosen));
  }

  /**
   * Puts the encrypted_client_hello extension of `outer` in its place and seals `inner` in it. The extensions of
   * both are final, but for the outer's ECH extension, whose body is ignored.
   */
  async seal(inner: HelloFields, outer: HelloFields, attempt: Attempt): Promise<SealedHello> {
    const { knobs } = this.#options;
    let encoded = this.#encodeInner(inner, outer);
    encoded = knobs?.encodedInner?.(encoded, attempt) ?? encoded;

    if (attempt === 2 && knobs?.freshSecondContext) this.#context = await setupBaseS(this.chosen);
    const fields: EchOuter = {
      type: ECHClientHelloType.outer,
      kdfId: this.chosen.kdfId,
      aeadId: this.chosen.aeadId,
      configId: this.chosen.config.configId,
      enc: attempt === 1 || knobs?.freshSecondContext ? this.#context.enc : new Uint8Array(0),
      payload: new Uint8Array(encoded.length + TAG),
    };
    const aad = encodeClientHelloBody(withExtension(outer, ext.echOuter(fields)));
    const payload = await this.#context.seal(encoded, knobs?.aad?.(aad, attempt) ?? aad);
    const extension = this.#extension({ ...fields, payload }, attempt);
    return {
      inner: encodeClientHello(inner),
      outer: encodeClientHello(
        extension === undefined
          ? withoutExtension(outer, ExtensionType.encrypted_client_hello)
          : withExtension(outer, extension),
      ),
      extension,
    };
  }

  #extension(fields: EchOuter, attempt: Attempt): Extension | undefined {
    const { knobs } = this.#options;
    const said = knobs?.extension === undefined ? fields : knobs.extension(fields, attempt);
    if (said === undefined) return undefined;
    return said instanceof Uint8Array
      ? [ExtensionType.encrypted_client_hello, said]
      : ext.echOuter(said);
  }

  /** EncodedClientHelloInner with its padding (RFC 9849 §5.1, §6.1.3). */
  #encodeInner(inner: HelloFields, outer: HelloFields): Uint8Array {
    const { compress = COMPRESSED_BY_DEFAULT, knobs } = this.#options;
    const common = (inner.extensions ?? []).filter(([type, body]) =>
      compress.includes(type) && equalBytes(extensionBody(outer, type), body)
    ).map(([type]) => type);
    const listed = knobs?.outerExtensions ?? common;
    const extensions: Extension[] = [];
    let isListed = listed.length === 0;
    for (const extension of inner.extensions ?? []) {
      if (!common.includes(extension[0])) extensions.push(extension);
      else if (!isListed) {
        extensions.push(ext.echOuterExtensions(listed));
        isListed = true;
      }
    }
    if (!isListed) extensions.push(ext.echOuterExtensions(listed));
    const body = encodeClientHelloBody({
      ...inner,
      sessionId: knobs?.innerSessionId ?? new Uint8Array(0),
      extensions: inner.extensions === undefined ? undefined : extensions,
    });
    const padded = new Uint8Array(body.length + this.#paddingFor(inner, body.length));
    padded.set(body);
    return padded;
  }

  #paddingFor(inner: HelloFields, encodedLength: number): number {
    const longest = this.chosen.config.maximumNameLength;
    const name = extensionBody(inner, ExtensionType.server_name);
    const forName = name === undefined ? longest + 9 : Math.max(0, longest - (name.length - 5));
    return forName + 31 - ((encodedLength + forName - 1) % 32);
  }
}

/** An extension that looks like an offer and is none (RFC 9849 §6.2.1). */
export function greaseEch(crypto: Crypto): Extension {
  const [configId, aead, size] = crypto.random(3);
  return ext.echOuter({
    type: ECHClientHelloType.outer,
    kdfId: 0x0001,
    aeadId: aead! % 2 === 0 ? 0x0001 : 0x0003,
    configId: configId!,
    enc: crypto.keyPair("x25519").share,
    payload: crypto.random(32 * (4 + size! % 4) + TAG),
  });
}

interface Sealer {
  readonly enc: Uint8Array;
  seal(plaintext: Uint8Array, aad: Uint8Array): Promise<Uint8Array>;
}

async function setupBaseS({ config, kdfId, aeadId }: ChosenConfig): Promise<Sealer> {
  const suite = new CipherSuite({
    kem: config.kemId as KemId,
    kdf: kdfId as KdfId,
    aead: aeadId as AeadId,
  });
  const info = new Uint8Array(8 + config.raw.length);
  info.set(new TextEncoder().encode("tls ech\0"));
  info.set(config.raw, 8);
  const sender = await suite.createSenderContext({
    recipientPublicKey: await suite.importKey("raw", buffer(config.publicKey), true),
    info: buffer(info),
  });
  return {
    enc: new Uint8Array(sender.enc),
    seal: async (plaintext, aad) =>
      new Uint8Array(await sender.seal(buffer(plaintext), buffer(aad))),
  };
}

/** hpke-js takes whole buffers. */
function buffer(bytes: Uint8Array): ArrayBuffer {
  return new Uint8Array(bytes).buffer;
}

function equalBytes(a: Uint8Array | undefined, b: Uint8Array): boolean {
  return a !== undefined && a.length === b.length && a.every((byte, i) => byte === b[i]);
}
