/**
 * What sotto needs to know of a certificate (RFC 5280), read once.
 *
 * Signatures are not checked here (`chain.ts` does), and the subject's common name is not looked at: names are those of
 * the subjectAltName (RFC 9525 §2).
 *
 * @module
 */
import { DerReader, explicitTag, implicitTag, Tag } from "./der.ts";
import { X509Error } from "./error.ts";
import { ipFromBytes } from "./names.ts";
import { checkWhole, decodePem } from "./pem.ts";
import { decodeSignatureAlgorithm, type SignatureAlgorithm } from "./signature.ts";

export interface Certificate {
  /** The whole certificate; every other view aliases it. */
  readonly der: Uint8Array;
  readonly serialNumber: Uint8Array;
  /** Names in DER, compared byte by byte. */
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
  /** What the issuer signed (tbsCertificate), how, and the signature. */
  readonly signedBytes: Uint8Array;
  readonly signatureAlgorithm: SignatureAlgorithm;
  readonly signature: Uint8Array;
  /** dNSName entries, lower-cased; "*.example.com" as it stands. */
  readonly dnsNames: readonly string[];
  /** iPAddress entries in canonical text (`canonicalIp`). */
  readonly ipAddresses: readonly string[];
  readonly isCa: boolean;
  /** pathLenConstraint; undefined: none. */
  readonly pathLength: number | undefined;
  /** Bits of `KeyUsage`; undefined: the extension is absent, anything goes. */
  readonly keyUsage: number | undefined;
  /** OIDs of extKeyUsage; undefined: absent. */
  readonly extendedKeyUsages: readonly string[] | undefined;
  readonly subjectKeyId: Uint8Array | undefined;
  readonly authorityKeyId: Uint8Array | undefined;
  /** Critical extensions, or constraints on a path, that sotto does not process: OIDs. No path may lead through them. */
  readonly unprocessed: readonly string[];
}

/** @throws {X509Error} it is no certificate */
export function parseCertificate(der: Uint8Array): Certificate {
  const file = new DerReader(der);
  const certificate = file.enter(Tag.SEQUENCE, "Certificate");
  file.finish("Certificate");
  const signedBytes = certificate.element("tbsCertificate");
  const tbs = new DerReader(signedBytes).enter(Tag.SEQUENCE, "tbsCertificate");
  const outerAlgorithm = certificate.element("signatureAlgorithm");
  const signature = certificate.enter(Tag.BIT_STRING, "signatureValue").rest();
  if (signature[0] !== 0) throw new X509Error("signatureValue: not whole bytes");
  certificate.finish("Certificate");

  const version = tbs.enterOptional(explicitTag(0), "version")?.count("version") ?? 0;
  if (version > 2) throw new X509Error("version: unknown");
  const serialNumber = tbs.integer("serialNumber");
  const innerAlgorithm = tbs.element("signature");
  if (!sameBytes(innerAlgorithm, outerAlgorithm)) {
    throw new X509Error("signatureAlgorithm: differs from the signed one"); // RFC 5280 §4.1.1.2
  }
  const issuer = tbs.element("issuer");
  const validity = tbs.enter(Tag.SEQUENCE, "validity");
  const notBeforeMs = validity.time("notBefore");
  const notAfterMs = validity.time("notAfter");
  validity.finish("validity");
  const subject = tbs.element("subject");
  if (issuer[0] !== Tag.SEQUENCE || subject[0] !== Tag.SEQUENCE) throw new X509Error("bad Name");
  if (tbs.nextTag !== Tag.SEQUENCE) throw new X509Error("subjectPublicKeyInfo: missing");
  const spki = tbs.element("subjectPublicKeyInfo");
  tbs.enterOptional(implicitTag(1), "issuerUniqueID");
  tbs.enterOptional(implicitTag(2), "subjectUniqueID");
  const extensions = decodeExtensions(tbs.enterOptional(explicitTag(3), "extensions"));
  tbs.finish("tbsCertificate");

  return {
    der,
    serialNumber,
    issuer,
    subject,
    notBeforeMs,
    notAfterMs,
    spki,
    signedBytes,
    signatureAlgorithm: decodeSignatureAlgorithm(outerAlgorithm),
    signature: signature.subarray(1),
    ...extensions,
  };
}

/**
 * All certificates of a PEM text, in order; other blocks are passed over.
 *
 * @throws {X509Error} one cannot be read; the message says which
 */
export function certificatesFromPem(text: string): Certificate[] {
  const blocks = decodePem(text).filter((block) => CERTIFICATE_LABELS.has(block.label));
  return blocks.map((block, index) => {
    try {
      checkWhole(block);
      return parseCertificate(block.der);
    } catch (cause) {
      if (!(cause instanceof X509Error)) throw cause;
      throw new X509Error(`certificate ${index + 1} of ${blocks.length}: ${cause.message}`, {
        cause,
      });
    }
  });
}

const CERTIFICATE_LABELS: ReadonlySet<string> = new Set(["CERTIFICATE", "X509 CERTIFICATE"]);

/** RFC 5280 §4.2.1.3, those that sotto asks for. */
export const KeyUsage = { digitalSignature: 1 << 0, keyCertSign: 1 << 5 } as const;

/** RFC 5280 §4.2.1.12. */
export const ExtendedKeyUsage = {
  any: "2.5.29.37.0",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
} as const;

/** Self-issued: the same name above and below. Nearly always a root. */
export function isSelfIssued(certificate: Certificate): boolean {
  return sameBytes(certificate.issuer, certificate.subject);
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

type Extensions = Pick<
  Certificate,
  | "dnsNames"
  | "ipAddresses"
  | "isCa"
  | "pathLength"
  | "keyUsage"
  | "extendedKeyUsages"
  | "subjectKeyId"
  | "authorityKeyId"
  | "unprocessed"
>;

function decodeExtensions(wrapper: DerReader | undefined): Extensions {
  const found: { -readonly [K in keyof Extensions]: Extensions[K] } = {
    dnsNames: [],
    ipAddresses: [],
    isCa: false,
    pathLength: undefined,
    keyUsage: undefined,
    extendedKeyUsages: undefined,
    subjectKeyId: undefined,
    authorityKeyId: undefined,
    unprocessed: [],
  };
  if (wrapper === undefined) return found;
  const list = wrapper.enter(Tag.SEQUENCE, "extensions");
  wrapper.finish("extensions");
  const seen = new Set<string>();
  const unprocessed: string[] = [];
  while (!list.done) {
    const extension = list.enter(Tag.SEQUENCE, "Extension");
    const id = extension.oid("extnID");
    const critical = extension.nextTag === Tag.BOOLEAN && extension.boolean("critical");
    const value = new DerReader(extension.enter(Tag.OCTET_STRING, "extnValue").rest());
    extension.finish("Extension");
    if (seen.has(id)) throw new X509Error(`extension ${id}: repeated`); // RFC 5280 §4.2
    seen.add(id);
    switch (id) {
      case "2.5.29.17":
        Object.assign(found, decodeSubjectAltName(value));
        break;
      case "2.5.29.19":
        Object.assign(found, decodeBasicConstraints(value));
        break;
      case "2.5.29.15":
        found.keyUsage = value.namedBits("keyUsage");
        break;
      case "2.5.29.37":
        found.extendedKeyUsages = decodeExtKeyUsage(value);
        break;
      case "2.5.29.14":
        found.subjectKeyId = value.enter(Tag.OCTET_STRING, "subjectKeyIdentifier").rest();
        break;
      case "2.5.29.35":
        found.authorityKeyId = value.enter(Tag.SEQUENCE, "authorityKeyIdentifier")
          .enterOptional(implicitTag(0), "keyIdentifier")?.rest();
        continue; // may be followed by issuer and serial, which nobody needs
      case "2.5.29.32":
        continue; // certificatePolicies: each policy will do
      case "2.5.29.30": // nameConstraints
      case "2.5.29.36": // policyConstraints
        unprocessed.push(id);
        continue;
      default:
        if (critical) unprocessed.push(id);
        continue;
    }
    value.finish(`extension ${id}`);
  }
  found.unprocessed = unprocessed;
  return found;
}

/** GeneralNames: dNSName [2] and iPAddress [7]; the others are passed over. */
function decodeSubjectAltName(value: DerReader): Pick<Extensions, "dnsNames" | "ipAddresses"> {
  const names = value.enter(Tag.SEQUENCE, "subjectAltName");
  const dnsNames: string[] = [];
  const ipAddresses: string[] = [];
  while (!names.done) {
    const dns = names.enterOptional(implicitTag(2), "dNSName");
    if (dns !== undefined) {
      dnsNames.push(String.fromCharCode(...asciiName(dns.rest())).toLowerCase());
      continue;
    }
    const ip = names.enterOptional(implicitTag(7), "iPAddress");
    if (ip !== undefined) {
      const address = ipFromBytes(ip.rest());
      if (address === undefined) throw new X509Error("iPAddress: neither 4 nor 16 bytes");
      ipAddresses.push(address);
      continue;
    }
    names.element("GeneralName");
  }
  return { dnsNames, ipAddresses };
}

/** A NUL or a byte above 0x7f in a name has fooled others before. */
function asciiName(bytes: Uint8Array): Uint8Array {
  if (bytes.length > 255 || bytes.some((byte) => byte <= 0x20 || byte >= 0x7f)) {
    throw new X509Error("dNSName: not a host name");
  }
  return bytes;
}

function decodeBasicConstraints(value: DerReader): Pick<Extensions, "isCa" | "pathLength"> {
  const constraints = value.enter(Tag.SEQUENCE, "basicConstraints");
  const isCa = constraints.nextTag === Tag.BOOLEAN && constraints.boolean("cA");
  const pathLength = constraints.nextTag === Tag.INTEGER
    ? constraints.count("pathLenConstraint")
    : undefined;
  constraints.finish("basicConstraints");
  return { isCa, pathLength };
}

function decodeExtKeyUsage(value: DerReader): string[] {
  const usages = value.enter(Tag.SEQUENCE, "extKeyUsage");
  const oids: string[] = [];
  while (!usages.done) oids.push(usages.oid("KeyPurposeId"));
  return oids;
}
