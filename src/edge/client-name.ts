/**
 * What a client's certificate calls its owner.
 * @module
 */
import { DerReader, Tag } from "../x509/der.ts";
import { X509Error } from "../x509/error.ts";
import { parseCertificate } from "../x509/certificate.ts";

/** The last commonName of the subject (X.520), as others report it; undefined: none that can be read. */
export function commonName(der: Uint8Array): string | undefined {
  try {
    return readCommonName(new DerReader(parseCertificate(der).subject));
  } catch (error) {
    // Where certificates are taken unverified, anything may come.
    if (error instanceof X509Error) return undefined;
    throw error;
  }
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
      if (decoder !== undefined) found = decoder.decode(attribute.enter(tag, "value").rest());
    }
  }
  return found;
}

const COMMON_NAME = "2.5.4.3";

/** By tag: UTF8String, PrintableString, TeletexString, IA5String, BMPString. */
const DECODERS = new Map([
  [0x0c, new TextDecoder()],
  [0x13, new TextDecoder()],
  [0x14, new TextDecoder("latin1")],
  [0x16, new TextDecoder()],
  [0x1e, new TextDecoder("utf-16be")],
]);
