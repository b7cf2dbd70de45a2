/**
 * What may not change between a client's two hellos.
 * @module
 */
import { TlsError } from "../error.ts";
import type { ClientHello } from "./client-hello.ts";
import { ExtensionType } from "./code-points.ts";
import { equalRanges } from "./vectors.ts";

/**
 * The hello that answers our HelloRetryRequest, `checkExtensions` done (tls13-server §4). Whatever RFC 9846 §4.2.2 does
 * not let change must be equal; of extensions that means those that code-points.ts names. Key shares, early_data, cookie,
 * PSKs, padding and ECH may differ; whether a chosen PSK is still there is for the caller to say.
 *
 * @throws {TlsError} "second ClientHello with early_data", "second ClientHello with a cookie", "missing key_share",
 * "second ClientHello without the asked key share", "second ClientHello differs"
 */
export function checkSecondClientHello(
  first: ClientHello,
  second: ClientHello,
  askedGroup: number,
): void {
  if (second.offersEarlyData) throw new TlsError("second ClientHello with early_data");
  if (second.has(ExtensionType.cookie)) throw new TlsError("second ClientHello with a cookie");
  if (!second.has(ExtensionType.key_share)) throw new TlsError("missing key_share");
  if (second.keyShareCount !== 1 || second.keyShare(askedGroup) === undefined) {
    throw new TlsError("second ClientHello without the asked key share");
  }
  if (!sameHead(first, second) || !UNCHANGING.every((type) => sameExtension(first, second, type))) {
    throw new TlsError("second ClientHello differs");
  }
}

/** legacy_version to legacy_compression_methods: all that stands before the extensions. */
function sameHead(first: ClientHello, second: ClientHello): boolean {
  return equalRanges(first.bytes, 4, first.compressionEnd, second.bytes, 4, second.compressionEnd);
}

function sameExtension(first: ClientHello, second: ClientHello, type: number): boolean {
  const a = first.body(type);
  const b = second.body(type);
  if (a === undefined || b === undefined) return a === b;
  return equalRanges(a, 0, a.length, b, 0, b.length);
}

const CHANGING: readonly number[] = [
  ExtensionType.key_share,
  ExtensionType.early_data,
  ExtensionType.cookie,
  ExtensionType.pre_shared_key,
  ExtensionType.padding,
  ExtensionType.encrypted_client_hello,
];
const UNCHANGING: readonly number[] = Object.values(ExtensionType).filter((type) =>
  !CHANGING.includes(type)
);
