/**
 * What a client's certificate calls its owner.
 * @module
 */
import { DerReader, Tag } from "../x509/der.ts";
import { X509Error } from "../x509/error.ts";
import { parseCertificate } from "../x509/certificate.ts";

/**
 * The last commonName of the subject (X.520), as others report it; undefined: none that can be read, or none to be
 * handed on: empty, longer than RFC 5280 allows it to be, or with control characters.
 */
export function commonName(der: Uint8Array): string | undefined {
  try {
    const name = readCommonName(new DerReader(parseCertificate(der).subject));
    return name !== undefined && isFit(name) ? name : undefined;
  } catch (error) {
    // Where certificates are taken unverified, anything may come.
    if (error instanceof X509Error) return undefined;
    throw error;
  }
}

/**
 * What an unverified client may put there goes to an upstream. One that has no room for it refuses the header, and with
 * it looks as if it failed; one that reads up to a NUL takes it for another name.
 */
function isFit(name: string): boolean {
  return /^\P{Cc}{1,64}$/u.test(name); // RFC 5280 A.1, ub-common-name: at most 256 bytes of UTF-8
}

function readCommonName(subject: DerReader): string | undefined {
  let found: string | undefined;
  const names = subject.enter(Tag.SEQUENCE, "subject");
  while (!names.done) {
    const set = names.enter(Tag.SET, "RelativeDistinguishedName");
    while (!set.done) {
      const attribute = set.enter(Tag.SEQUENCE, "AttributeTypeAndValue");
      const type = attribute.oid("type");
      const tag = attribute.nextTag;
      if (type !== COMMON_NAME || tag === undefined) continue;
      const decoder = DECODERS.get(tag);
      if (decoder !== undefined) found = decode(decoder, attribute.enter(tag, "value").rest());
    }
  }
  return found;
}

function decode(
  decoder: { decode(bytes: Uint8Array): string },
  bytes: Uint8Array,
): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined; // bytes that are no text, as it says it is
  }
}

const COMMON_NAME = "2.5.4.3";

/** Two names that differ stay different. */
const EXACTLY = { fatal: true, ignoreBOM: true } as const;

/** By tag: UTF8String, PrintableString, TeletexString, IA5String, BMPString. */
const DECODERS = new Map([
  [0x0c, new TextDecoder("utf-8", EXACTLY)],
  [0x13, new TextDecoder("utf-8", EXACTLY)],
  [0x14, new TextDecoder("latin1", EXACTLY)],
  [0x16, new TextDecoder("utf-8", EXACTLY)],
  [0x1e, new TextDecoder("utf-16be", EXACTLY)],
]);
