/**
 * Makes the local CA's leaves. There may be a hundred thousand of them, new ones every half day, and all have the same
 * shape: written out here they take 0.1 ms of the processor each, where the library of `make.ts` takes 4.4 and has to be
 * loaded first.
 *
 * @module
 */
import { createHash, createPrivateKey, generateKeyPair, type KeyObject, sign } from "node:crypto";
import { promisify } from "node:util";

import { type Certificate, parseCertificate } from "../../x509/certificate.ts";
import { Tag } from "../../x509/der.ts";
import { ascii, der, derTime } from "../../x509/der-writer.ts";
import { bytesFromIp, canonicalIp } from "../../x509/names.ts";
import { encodePem } from "../../x509/pem.ts";
import { type CertificateWithKey, randomSerial } from "./make.ts";
import type { Validity } from "./renewal.ts";

/** Signs leaves; its key is read once. */
export class LeafMaker {
  readonly #issuer: CertificateWithKey;
  readonly #key: KeyObject;

  constructor(issuer: CertificateWithKey) {
    this.#issuer = issuer;
    this.#key = createPrivateKey(issuer.keyPem);
  }

  /** A certificate for host names (A-labels) and IP addresses over a fresh P-256 key, which is PKCS#8. */
  async make(names: readonly string[], validity: Validity): Promise<CertificateWithKey> {
    const { publicKey, privateKey } = await makeKeyPair();
    const spki = new Uint8Array(publicKey);
    const tbs = tbsCertificate(names, spki, this.#issuer.certificate, validity);
    const signature = sign("sha256", tbs, this.#key);
    const bytes = der(
      Tag.SEQUENCE,
      tbs,
      ECDSA_WITH_SHA256,
      der(Tag.BIT_STRING, NO_UNUSED_BITS, signature),
    );
    return {
      certificate: parseCertificate(bytes),
      keyPem: encodePem("PRIVATE KEY", new Uint8Array(privateKey)),
    };
  }
}

/** TBSCertificate (RFC 5280 §4.1): version 3, an empty subject, its names in the subjectAltName. */
function tbsCertificate(
  names: readonly string[],
  spki: Uint8Array,
  issuer: Certificate,
  { notBeforeMs, notAfterMs }: Validity,
): Uint8Array {
  return der(
    Tag.SEQUENCE,
    VERSION_3,
    der(Tag.INTEGER, Buffer.from(randomSerial(), "hex")),
    ECDSA_WITH_SHA256,
    issuer.subject,
    der(Tag.SEQUENCE, derTime(notBeforeMs), derTime(notAfterMs)),
    der(Tag.SEQUENCE),
    spki,
    der(0xa3, der(Tag.SEQUENCE, ...extensions(names, spki, issuer))),
  );
}

function extensions(names: readonly string[], spki: Uint8Array, issuer: Certificate): Uint8Array[] {
  const { subjectKeyId } = issuer;
  return [
    // digitalSignature
    extension("551d0f", true, der(Tag.BIT_STRING, Uint8Array.of(7, 0x80))),
    extension("551d25", false, der(Tag.SEQUENCE, SERVER_AUTH)),
    // critical, since the subject is empty (RFC 5280 §4.2.1.6)
    extension("551d11", true, der(Tag.SEQUENCE, ...names.map(generalName))),
    extension("551d0e", false, der(Tag.OCTET_STRING, keyIdOf(spki))),
    ...(subjectKeyId === undefined
      ? []
      : [extension("551d23", false, der(Tag.SEQUENCE, der(0x80, subjectKeyId)))]),
  ];
}

function extension(oid: string, isCritical: boolean, value: Uint8Array): Uint8Array {
  return der(
    Tag.SEQUENCE,
    der(Tag.OBJECT_IDENTIFIER, Buffer.from(oid, "hex")),
    ...(isCritical ? [der(Tag.BOOLEAN, Uint8Array.of(0xff))] : []),
    der(Tag.OCTET_STRING, value),
  );
}

function generalName(name: string): Uint8Array {
  const ip = canonicalIp(name);
  return ip === undefined ? der(0x82, ascii(name)) : der(0x87, bytesFromIp(ip));
}

/** SHA-1 of the public key's bits (RFC 5280 §4.2.1.2, method 1). They are the end of a P-256 SubjectPublicKeyInfo. */
function keyIdOf(spki: Uint8Array): Uint8Array {
  return createHash("sha1").update(spki.subarray(-POINT_LENGTH)).digest();
}

const generate = promisify(generateKeyPair);

function makeKeyPair(): Promise<{ publicKey: Uint8Array; privateKey: Uint8Array }> {
  return generate("ec", {
    namedCurve: "P-256",
    publicKeyEncoding: { type: "spki", format: "der" },
    privateKeyEncoding: { type: "pkcs8", format: "der" },
  });
}

const POINT_LENGTH = 65;
const VERSION_3 = der(0xa0, der(Tag.INTEGER, Uint8Array.of(2)));
const NO_UNUSED_BITS = Uint8Array.of(0);
const ECDSA_WITH_SHA256 = der(
  Tag.SEQUENCE,
  der(Tag.OBJECT_IDENTIFIER, Buffer.from("2a8648ce3d040302", "hex")),
);
const SERVER_AUTH = der(Tag.OBJECT_IDENTIFIER, Buffer.from("2b06010505070301", "hex"));
