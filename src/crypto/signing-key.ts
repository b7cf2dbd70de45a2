/**
 * Private keys that sign a CertificateVerify, and the check of a peer's (RFC 9846 §4.3.3, §4.5.2).
 *
 * Keys are read by node:crypto, whichever provider then signs: PEM and ASN.1 are not where providers differ.
 *
 * @module
 */
import type { KeyObject } from "node:crypto";
import { createPrivateKey, createPublicKey } from "node:crypto";
import type { P256Numbers, PrivateKeyBlock, SignatureName, SigningKey } from "./crypto.ts";
import { P256_SPKI } from "./native-groups.ts";
import type { Primitives } from "./primitives.ts";
import { pssPrivateKey, pssPublicKey, pssSpki } from "./rsa-pss-key.ts";

/** One signature algorithm of a provider. Keys of RSA-PSS certificates come as plain RSA keys. */
export interface Signatures {
  readonly signer: (
    privateKey: KeyObject,
  ) => (scheme: SignatureName, content: Uint8Array) => Uint8Array;
  /**
   * The same of numbers, where the library wants no more. Keeps copies of them.
   * @throws {TypeError} the point is not the scalar's
   */
  readonly rawSigner?: (numbers: P256Numbers) => ReturnType<Signatures["signer"]>;
  /** One signature by the scalar alone, nothing kept. The point is not looked at. @throws {TypeError} no scalar */
  readonly signOnce?: (numbers: P256Numbers, content: Uint8Array) => Uint8Array;
  /** May throw what the library throws on a malformed signature. */
  readonly verify: (
    publicKey: KeyObject,
    scheme: SignatureName,
    content: Uint8Array,
    signature: Uint8Array,
  ) => boolean;
}

export type SignaturePrimitives = Pick<Primitives, "ecdsa-p256" | "ecdsa-p384" | "ed25519" | "rsa">;

/** @throws {TypeError} it cannot be read, or its kind is none that TLS 1.3 signs with here */
export function signingKey(
  primitives: SignaturePrimitives,
  source: string | PrivateKeyBlock,
): SigningKey {
  const block = typeof source === "string" ? blockOf(source) : source;
  const { p256 } = block;
  const raw = primitives["ecdsa-p256"].rawSigner;
  if (p256 !== undefined && raw !== undefined) return new P256PrivateKey(raw(p256), p256.point);
  const key = readPrivateKey(block);
  const schemes = p256 !== undefined ? P256_SCHEMES : schemesOf(key, OWN_RSA_BITS);
  if (schemes.length === 0) throw new TypeError(`Cannot sign with ${describe(key)}, ${ACCEPTED}`);
  return new PrivateKey(primitives[ALGORITHM_OF[schemes[0]!]], schemes, key);
}

/** A class and few fields: of very many keys thousands are ready at a time, and the collector visits each object. */
class PrivateKey implements SigningKey {
  readonly schemes: readonly SignatureName[];
  readonly #object: KeyObject;
  readonly #pss: PssBinding | undefined;
  readonly #sign: ReturnType<Signatures["signer"]>;
  readonly #verify: Signatures["verify"];
  /** Made when it is asked for: of very many keys most are only signed with. */
  #publicKey: KeyObject | undefined;

  constructor(
    { signer, verify }: Signatures,
    schemes: readonly SignatureName[],
    { object, pss }: Key,
  ) {
    this.schemes = schemes;
    this.#object = object;
    this.#pss = pss;
    this.#sign = signer(object);
    this.#verify = verify;
  }

  get spki(): Uint8Array {
    return spkiOf(this.#itsPublicKey, this.#pss);
  }

  get slow(): boolean {
    return ALGORITHM_OF[this.schemes[0]!] === "rsa";
  }

  sign(scheme: SignatureName, content: Uint8Array): Uint8Array {
    if (!this.schemes.includes(scheme)) {
      const key = describe({ object: this.#object, pss: this.#pss });
      throw new RangeError(`Cannot sign ${scheme} with ${key}`);
    }
    const signature = this.#sign(scheme, content);
    // RFC 9846 §C.3: a fault during the CRT computation would give the key away.
    if (this.slow && !this.#verify(this.#itsPublicKey, scheme, content, signature)) {
      throw new Error("RSA signature does not verify");
    }
    return signature;
  }

  get #itsPublicKey(): KeyObject {
    return this.#publicKey ??= createPublicKey(this.#object);
  }
}

/** One that nobody had to parse. */
class P256PrivateKey implements SigningKey {
  readonly schemes: readonly SignatureName[] = P256_SCHEMES;
  readonly slow = false;
  readonly #sign: ReturnType<Signatures["signer"]>;
  readonly #point: Uint8Array;

  constructor(sign: ReturnType<Signatures["signer"]>, point: Uint8Array) {
    this.#sign = sign;
    this.#point = point.slice();
  }

  get spki(): Uint8Array {
    return new Uint8Array(Buffer.concat([P256_SPKI, this.#point]));
  }

  sign(scheme: SignatureName, content: Uint8Array): Uint8Array {
    if (scheme !== P256_SCHEMES[0]) {
      throw new RangeError(`Cannot sign ${scheme} with a key of type ec (prime256v1)`);
    }
    return this.#sign(scheme, content);
  }
}

/** False for whatever is wrong: signature, key, or a key that does not fit the scheme. */
export function verify(
  primitives: SignaturePrimitives,
  scheme: SignatureName,
  spki: Uint8Array,
  content: Uint8Array,
  signature: Uint8Array,
): boolean {
  try {
    const key = readPublicKey(spki);
    if (!schemesOf(key, PEER_RSA_BITS).includes(scheme)) return false;
    return primitives[ALGORITHM_OF[scheme]].verify(key.object, scheme, content, signature);
  } catch {
    return false; // malformed DER of the peer: libraries differ in whether they throw
  }
}

const ALGORITHM_OF = {
  ecdsa_secp256r1_sha256: "ecdsa-p256",
  ecdsa_secp384r1_sha384: "ecdsa-p384",
  ed25519: "ed25519",
  rsa_pss_rsae_sha256: "rsa",
  rsa_pss_rsae_sha384: "rsa",
  rsa_pss_rsae_sha512: "rsa",
  rsa_pss_pss_sha256: "rsa",
  rsa_pss_pss_sha384: "rsa",
  rsa_pss_pss_sha512: "rsa",
} as const satisfies Record<SignatureName, keyof SignaturePrimitives>;

interface Key {
  readonly object: KeyObject;
  /** The AlgorithmIdentifier and its schemes where the key is bound to RSA-PSS. */
  readonly pss: PssBinding | undefined;
}

export interface PssBinding {
  readonly algorithm: Uint8Array;
  readonly schemes: readonly SignatureName[];
}

function schemesOf({ object, pss }: Key, minRsaBits: number): readonly SignatureName[] {
  const { asymmetricKeyType, asymmetricKeyDetails } = object;
  if (asymmetricKeyType === "ec") return EC_SCHEMES[asymmetricKeyDetails?.namedCurve ?? ""] ?? [];
  if (asymmetricKeyType === "ed25519") return ["ed25519"];
  if (asymmetricKeyType !== "rsa") return [];
  if ((asymmetricKeyDetails?.modulusLength ?? 0) < minRsaBits) return [];
  return pss?.schemes ?? RSAE_SCHEMES;
}

const P256_SCHEMES: readonly SignatureName[] = ["ecdsa_secp256r1_sha256"];

/** No RSA key is as short, and most keys are: they need not be looked into. */
const NO_RSA_KEY = 256;
const OWN_RSA_BITS = 2048;
/** Whether a peer's key is strong enough is for the check of its chain to say; this only keeps nonsense out. */
const PEER_RSA_BITS = 1024;
const ACCEPTED =
  `accepted: ECDSA P-256 or P-384, Ed25519, RSA of ${OWN_RSA_BITS} bits or more, RSA-PSS with a hash and salt of TLS 1.3`;
const EC_SCHEMES: Readonly<Record<string, readonly SignatureName[]>> = {
  prime256v1: P256_SCHEMES,
  secp384r1: ["ecdsa_secp384r1_sha384"],
};
const RSAE_SCHEMES: readonly SignatureName[] = [
  "rsa_pss_rsae_sha256",
  "rsa_pss_rsae_sha384",
  "rsa_pss_rsae_sha512",
];

const PEM_TYPES = {
  "PRIVATE KEY": "pkcs8",
  "EC PRIVATE KEY": "sec1",
  "RSA PRIVATE KEY": "pkcs1",
} as const;

/** The first private key of a PEM text; what stands before it ("EC PARAMETERS", certificates) is passed over. */
function blockOf(pem: string): PrivateKeyBlock {
  const block = /-----BEGIN ((?:EC |RSA )?PRIVATE KEY)-----([^-]*)-----END \1-----/.exec(pem);
  if (block === null) throw new TypeError("Cannot read private key: no unencrypted PEM key in it");
  return { label: block[1]!, der: Buffer.from(block[2]!, "base64") };
}

function readPrivateKey({ label, der: bytes }: PrivateKeyBlock): Key {
  const type = PEM_TYPES[label as keyof typeof PEM_TYPES];
  const der = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  try {
    const pss = type === "pkcs8" && der.length > NO_RSA_KEY ? pssPrivateKey(der) : undefined;
    if (pss !== undefined) {
      const object = createPrivateKey({
        key: Buffer.from(pss.pkcs1),
        format: "der",
        type: "pkcs1",
      });
      return { object, pss };
    }
    return { object: createPrivateKey({ key: der, format: "der", type }), pss: undefined };
  } catch (cause) {
    throw new TypeError("Cannot read private key: malformed or of an unknown kind", { cause });
  }
}

function readPublicKey(spki: Uint8Array): Key {
  const pss = pssPublicKey(spki);
  if (pss !== undefined) {
    const object = createPublicKey({ key: Buffer.from(pss.pkcs1), format: "der", type: "pkcs1" });
    return { object, pss };
  }
  const key = Buffer.from(spki.buffer, spki.byteOffset, spki.length);
  return { object: createPublicKey({ key, format: "der", type: "spki" }), pss: undefined };
}

function spkiOf(publicKey: KeyObject, pss: PssBinding | undefined): Uint8Array {
  return pss === undefined
    ? new Uint8Array(publicKey.export({ format: "der", type: "spki" }))
    : pssSpki(pss.algorithm, publicKey.export({ format: "der", type: "pkcs1" }));
}

function describe({ object, pss }: Key): string {
  const { asymmetricKeyType = "unknown", asymmetricKeyDetails } = object;
  const detail = asymmetricKeyDetails?.namedCurve ?? asymmetricKeyDetails?.modulusLength;
  const kind = pss === undefined ? asymmetricKeyType : "rsa-pss";
  return `a key of type ${kind}${detail === undefined ? "" : ` (${detail})`}`;
}
