/**
 * What a file is where PEM is wanted and it holds none: for whoever has to make PEM of it.
 * @module
 */
import { parseCertificate } from "./certificate.ts";
import { DerReader, Tag } from "./der.ts";
import { X509Error } from "./error.ts";

/** What the file is to hold. */
export type Wanted = "certificates" | "a private key";

/** What it is, and what to do; undefined: nothing that is known, or PEM. Bytes of it are never told: it may be a key. */
export function whyNotPem(bytes: Uint8Array, wanted: Wanted): string | undefined {
  if (bytes.length === 0) return "it is empty";
  const isUtf16 = (bytes[0] === 0xff && bytes[1] === 0xfe) ||
    (bytes[0] === 0xfe && bytes[1] === 0xff);
  if (isUtf16) {
    return "it is text in UTF-16. Convert it with: iconv -f UTF-16 -t UTF-8 FILE > NEW";
  }
  const kind = kindOfDer(bytes);
  if (kind === undefined) return undefined;
  const { is, command, has } = KINDS[kind];
  const way = has.includes(wanted) ? `. Convert it with: openssl ${command} -in FILE -out NEW` : "";
  return `it is ${is} in DER, which is binary, accepted: ${wanted} in PEM${way}`;
}

type Kind = "certificate" | "request" | "key" | "encrypted" | "public" | "pkcs7" | "pkcs12";

const KINDS: Readonly<Record<Kind, KindWords>> = {
  certificate: { is: "a certificate", command: "x509 -inform DER", has: ["certificates"] },
  request: { is: "a request for a certificate", command: "", has: [] },
  key: { is: "a private key", command: "pkey -inform DER", has: ["a private key"] },
  encrypted: {
    is: "an encrypted private key",
    command: "pkey -inform DER",
    has: ["a private key"],
  },
  public: { is: "a public key", command: "", has: [] },
  pkcs7: {
    is: "a PKCS #7 bundle",
    command: "pkcs7 -inform DER -print_certs",
    has: ["certificates"],
  },
  // With both in it; it may be named for both.
  pkcs12: {
    is: "a PKCS #12 store",
    command: "pkcs12 -nodes",
    has: ["certificates", "a private key"],
  },
};

interface KindWords {
  readonly is: string;
  /** Of openssl, that makes PEM of it. */
  readonly command: string;
  readonly has: readonly Wanted[];
}

/** By its outline alone, but for certificates. */
function kindOfDer(bytes: Uint8Array): Kind | undefined {
  try {
    const file = new DerReader(bytes);
    const outer = file.enter(Tag.SEQUENCE, "");
    file.finish("");
    const tag = outer.nextTag;
    if (tag === Tag.OBJECT_IDENTIFIER && outer.oid("").startsWith(PKCS7)) return "pkcs7";
    if (tag === Tag.INTEGER) return kindOfVersioned(outer);
    if (tag === Tag.SEQUENCE) return kindOfSigned(outer, bytes);
    return undefined;
  } catch (error) {
    if (error instanceof X509Error) return undefined;
    throw error;
  }
}

const PKCS7 = "1.2.840.113549.1.7.";

/** INTEGER, …: PKCS #12 (RFC 7292 §4), PKCS #8 (RFC 5958 §2), RSAPrivateKey (RFC 8017), ECPrivateKey (RFC 5915). */
function kindOfVersioned(outer: DerReader): Kind | undefined {
  const version = outer.count("");
  if (version === 3 && outer.nextTag === Tag.SEQUENCE) {
    return outer.enter(Tag.SEQUENCE, "").oid("").startsWith(PKCS7) ? "pkcs12" : undefined;
  }
  const isKey = version <= 1 &&
    (outer.nextTag === Tag.SEQUENCE || outer.nextTag === Tag.INTEGER ||
      outer.nextTag === Tag.OCTET_STRING);
  return isKey ? "key" : undefined;
}

/** SEQUENCE, …: encrypted PKCS #8 (RFC 5958 §3), SubjectPublicKeyInfo, certificates and requests (RFC 2986 §4). */
function kindOfSigned(outer: DerReader, bytes: Uint8Array): Kind | undefined {
  const first = outer.enter(Tag.SEQUENCE, "");
  if (first.nextTag === Tag.OBJECT_IDENTIFIER) {
    if (outer.nextTag === Tag.OCTET_STRING) return "encrypted";
    return outer.nextTag === Tag.BIT_STRING ? "public" : undefined;
  }
  try {
    parseCertificate(bytes);
    return "certificate";
  } catch (error) {
    if (!(error instanceof X509Error)) throw error;
  }
  return first.nextTag === Tag.INTEGER && first.count("") === 0 ? "request" : undefined;
}
