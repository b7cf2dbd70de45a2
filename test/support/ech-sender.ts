/**
 * The sender's side of ECH, for tests of the receiver's: hpke-js seals, and every byte is written here by hand, so that
 * both ends do not share a mistake. Encodes whatever it is given, well-formed or not.
 *
 * @module
 */
import { x25519 } from "@noble/curves/ed25519.js";
import { CipherSuite, type SenderContext } from "hpke-js";

export type Ext = readonly [type: number, body: Uint8Array];

/** A ClientHello as a test wants it; what is left out is plausible. */
export interface HelloParts {
  readonly version?: number;
  readonly random?: Uint8Array;
  readonly sessionId?: Uint8Array;
  readonly cipherSuites?: Uint8Array;
  readonly compression?: Uint8Array;
  /** Undefined: the extensions block is missing. */
  readonly extensions: readonly Ext[] | undefined;
}

/** What the ECH extension of an outer hello says, where it shall not be the truth; and what is done to the payload. */
export interface Tweak {
  readonly type?: number;
  readonly kdfId?: number;
  readonly aeadId?: number;
  readonly configId?: number;
  readonly enc?: Uint8Array;
  readonly payload?: (sealed: Uint8Array) => Uint8Array;
  readonly aad?: (aad: Uint8Array) => Uint8Array;
}

export const ECH = 0xfe0d;
export const OUTER_EXTENSIONS = 0xfd00;
export const AEADS = { "AES-128-GCM": 1, "AES-256-GCM": 2, "ChaCha20-Poly1305": 3 } as const;

/** Stands in an outer list where the ECH extension goes; without it, that comes last. */
export const HERE: Ext = [ECH, new Uint8Array(0)];
/** What an inner list has. */
export const INNER_MARK: Ext = [ECH, bytes(1)];

/** One ECHConfig, its private key, and what a client does with it. */
export class EchSender {
  readonly enc: Uint8Array;
  readonly #context: SenderContext;
  readonly #configId: number;
  readonly #aeadId: number;
  #sealed = 0;

  private constructor(context: SenderContext, configId: number, aeadId: number) {
    this.enc = new Uint8Array(context.enc);
    this.#context = context;
    this.#configId = configId;
    this.#aeadId = aeadId;
  }

  /** SetupBaseS to the key of `config`, one whole ECHConfig for X25519. */
  static async to(config: Uint8Array, aeadId: number = 1): Promise<EchSender> {
    const suite = new CipherSuite({ kem: 0x0020, kdf: 0x0001, aead: aeadId as 1 | 2 | 3 });
    const publicKey = config.slice(9, 41);
    const context = await suite.createSenderContext({
      recipientPublicKey: await suite.importKey("raw", publicKey.buffer as ArrayBuffer, true),
      info: concat(ascii("tls ech\0"), config).buffer as ArrayBuffer,
    });
    return new EchSender(context, config[4]!, aeadId);
  }

  /**
   * The outer hello, whole, with `encoded` sealed in it. The first call says `enc`, later ones (second hellos) do not.
   */
  async seal(encoded: Uint8Array, outer: HelloParts, tweak: Tweak = {}): Promise<Uint8Array> {
    const enc = tweak.enc ?? (this.#sealed++ === 0 ? this.enc : bytes());
    const withPayload = (payload: Uint8Array): Uint8Array =>
      helloBody(withEch(
        outer,
        echOuter({
          type: tweak.type ?? 0,
          kdfId: tweak.kdfId ?? 1,
          aeadId: tweak.aeadId ?? this.#aeadId,
          configId: tweak.configId ?? this.#configId,
          enc,
          payload,
        }),
      ));
    const aad = withPayload(new Uint8Array(encoded.length + 16));
    const sealed = new Uint8Array(
      await this.#context.seal(
        encoded.slice().buffer as ArrayBuffer,
        (tweak.aad?.(aad) ?? aad).slice().buffer as ArrayBuffer,
      ),
    );
    return message(withPayload(tweak.payload?.(sealed) ?? sealed));
  }
}

export function publicKeyOf(privateKey: Uint8Array): Uint8Array {
  return x25519.getPublicKey(privateKey);
}

/** The same private key for the same number. */
export function privateKey(seed: number): Uint8Array {
  return new Uint8Array(32).fill(seed + 1);
}

/** One ECHConfig. */
export function echConfig(parts: {
  readonly configId: number;
  readonly publicKey: Uint8Array;
  readonly version?: number;
  readonly kemId?: number;
  readonly suites?: readonly (readonly [kdfId: number, aeadId: number])[];
  readonly publicName?: string;
  readonly maximumNameLength?: number;
  readonly extensions?: readonly Ext[];
}): Uint8Array {
  const suites = parts.suites ?? [[1, 1], [1, 2], [1, 3]];
  const contents = concat(
    bytes(parts.configId),
    u16(parts.kemId ?? 0x0020),
    vector16(parts.publicKey),
    vector16(concat(...suites.flatMap(([kdf, aead]) => [u16(kdf), u16(aead)]))),
    bytes(parts.maximumNameLength ?? 64),
    vector8(ascii(parts.publicName ?? "public.example")),
    vector16(extensions(parts.extensions ?? [])),
  );
  return concat(u16(parts.version ?? ECH), vector16(contents));
}

/** EncodedClientHelloInner: the structure with an empty session id, and padding. */
export function encodedInner(parts: HelloParts, padding: number = 0): Uint8Array {
  return concat(helloBody({ ...parts, sessionId: bytes() }), new Uint8Array(padding));
}

/** The body of an ECH extension of type outer. */
export function echOuter(parts: {
  readonly type?: number;
  readonly kdfId?: number;
  readonly aeadId?: number;
  readonly configId: number;
  readonly enc: Uint8Array;
  readonly payload: Uint8Array;
}): Uint8Array {
  return concat(
    bytes(parts.type ?? 0),
    u16(parts.kdfId ?? 1),
    u16(parts.aeadId ?? 1),
    bytes(parts.configId),
    vector16(parts.enc),
    vector16(parts.payload),
  );
}

export function outerExtensions(...types: readonly number[]): Ext {
  return [OUTER_EXTENSIONS, vector8(concat(...types.map(u16)))];
}

export function supportedVersions(...versions: readonly number[]): Ext {
  return [43, vector8(concat(...versions.map(u16)))];
}

export function serverName(name: string): Ext {
  return [0, vector16(concat(bytes(0), vector16(ascii(name))))];
}

/** The handshake message of a ClientHello. */
export function hello(parts: HelloParts): Uint8Array {
  return message(helloBody(parts));
}

export function helloBody(parts: HelloParts): Uint8Array {
  return concat(
    u16(parts.version ?? 0x0303),
    parts.random ?? new Uint8Array(32).fill(0x0f),
    vector8(parts.sessionId ?? new Uint8Array(32).fill(0x1d)),
    vector16(parts.cipherSuites ?? bytes(0x13, 0x01)),
    vector8(parts.compression ?? bytes(0)),
    parts.extensions === undefined ? bytes() : vector16(extensions(parts.extensions)),
  );
}

/** `parts` with the ECH extension in its place. */
export function withEch(parts: HelloParts, body: Uint8Array): HelloParts {
  const list = parts.extensions ?? [];
  const ech: Ext = [ECH, body];
  return {
    ...parts,
    extensions: list.includes(HERE)
      ? list.map((extension) => extension === HERE ? ech : extension)
      : [...list, ech],
  };
}

export function message(body: Uint8Array): Uint8Array {
  return concat(bytes(1, body.length >> 16), u16(body.length & 0xffff), body);
}

export function extensions(list: readonly Ext[]): Uint8Array {
  return concat(...list.map(([type, body]) => concat(u16(type), vector16(body))));
}

export function bytes(...values: readonly number[]): Uint8Array {
  return Uint8Array.from(values);
}

export function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

export function u16(value: number): Uint8Array {
  return bytes(value >> 8, value & 0xff);
}

export function vector8(body: Uint8Array): Uint8Array {
  return concat(bytes(body.length), body);
}

export function vector16(body: Uint8Array): Uint8Array {
  return concat(u16(body.length), body);
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
