/**
 * Encrypted Client Hello, the server's side (RFC 9849 §7.1; ech-server §3, §4, §7).
 *
 * It comes right after a hello was parsed and before anything is negotiated, for success swaps the whole hello:
 *
 *     outer ──► id held? suite listed? ──► HPKE opens? ──► rebuild ──► parse ──► marks ──► accepted: the inner
 *                   └── no ──────────────── no ──► rejected: go on with the outer
 *
 * Before the tag is good nothing but syntax is an error; after it every failure is, and nothing falls back.
 *
 * @module
 */
import type { HpkeContext } from "../crypto/crypto.ts";
import { rebuildClientHelloInner } from "./ech-inner.ts";
import type { EchKey, EchKeySet } from "./ech-keys.ts";
import { TlsError } from "./error.ts";
import type { Limits } from "./limits.ts";
import { type ClientHello, parseClientHello } from "./wire/client-hello.ts";
import { checkServerName, checkSupportedVersions } from "./wire/client-hello-extensions.ts";
import { ECHClientHelloType, ExtensionType } from "./wire/code-points.ts";
import { decodeEchClientHello } from "./wire/ech-client-hello.ts";
import { part, u16At } from "./wire/vectors.ts";

export { type EchKey, echKey, EchKeySet } from "./ech-keys.ts";

export type EchResult =
  | { readonly outcome: "not-offered" }
  /** `heldId`: some key has that config_id; none of them opened the payload. */
  | { readonly outcome: "rejected"; readonly configId: number; readonly heldId: boolean }
  /** `inner` has its own memory; its `checkExtensions()` is still to be called. */
  | { readonly outcome: "accepted"; readonly inner: ClientHello; readonly session: EchSession };

/** What an accepted offer leaves for the second hello: that key, whatever is rotated meanwhile. */
export interface EchSession {
  readonly key: EchKey;
  readonly kdfId: number;
  readonly aeadId: number;
  readonly context: HpkeContext;
  /** Of the first outer hello, a copy: key logs name the session by it. */
  readonly outerRandom: Uint8Array;
}

/**
 * The first hello (ech-server §3, steps 2-9): opens the offer if one of `keys` fits.
 *
 * @throws {TlsError} before the tag: "bad ECHClientHelloType", "ECH of type inner from the network", syntax;
 *   after it: whatever `rebuildClientHelloInner` and `parseClientHello` throw, "inner hello without its ECH mark",
 *   "inner hello offers TLS 1.2", "outer server_name is not the public name" (with `strictOuterSni`)
 */
export function openEch(
  outer: ClientHello,
  keys: EchKeySet,
  config: { readonly limits: Limits; readonly strictOuterSni: boolean },
): EchResult {
  if (outer.echAt < 0) return { outcome: "not-offered" };
  const offer = decodeEchClientHello(outer);
  if (offer.type === "inner") throw new TlsError("ECH of type inner from the network");
  const { kdfId, aeadId, configId } = offer;
  const candidates = keys.candidates(configId);
  let triesLeft = config.limits.maxEchCandidates;
  for (const key of candidates) {
    if (!listsSuite(key, kdfId, aeadId)) continue;
    if (triesLeft-- <= 0) break;
    const context = key.recipient.setup(aeadId, offer.enc);
    if (context === undefined) continue;
    const encoded = openPayload(context, outer, offer.payloadAt, offer.payloadEnd);
    if (encoded === undefined) continue;
    const inner = readInner(encoded, outer);
    if (config.strictOuterSni && !namesPublicName(outer, keys)) {
      throw new TlsError("outer server_name is not the public name");
    }
    const session = { key, kdfId, aeadId, context, outerRandom: outer.random.slice() };
    return { outcome: "accepted", inner, session };
  }
  return { outcome: "rejected", configId, heldId: candidates.length > 0 };
}

/**
 * The second hello, after a HelloRetryRequest on an accepted first one (RFC 9849 §7.1.1; ech-server §7).
 *
 * Opened with the context that was kept: no key is chosen anew. Whether it fits the first inner hello is for the
 * caller to compare, and only now that its tag is good (§10.12.2).
 *
 * @returns the second inner hello, in memory of its own; its `checkExtensions()` is still to be called
 * @throws {TlsError} in this order: "second ClientHello without ECH", "second ClientHello with another ECH type",
 *   syntax, "second ClientHello with another ECH config", "second ClientHello does not decrypt"; then as `openEch`
 */
export function openSecondEch(outer: ClientHello, session: EchSession): ClientHello {
  const { bytes, echAt, echEnd } = outer;
  if (echAt < 0) throw new TlsError("second ClientHello without ECH");
  if (echEnd > echAt && bytes[echAt] !== ECHClientHelloType.outer) {
    throw new TlsError("second ClientHello with another ECH type");
  }
  const offer = decodeEchClientHello(outer);
  if (
    offer.type !== "outer" || offer.kdfId !== session.kdfId || offer.aeadId !== session.aeadId ||
    offer.configId !== session.key.configId || offer.enc.length !== 0
  ) {
    throw new TlsError("second ClientHello with another ECH config");
  }
  const encoded = openPayload(session.context, outer, offer.payloadAt, offer.payloadEnd);
  if (encoded === undefined) throw new TlsError("second ClientHello does not decrypt");
  return readInner(encoded, outer);
}

function listsSuite(key: EchKey, kdfId: number, aeadId: number): boolean {
  for (const suite of key.config.suites) {
    if (suite.kdfId === kdfId && suite.aeadId === aeadId) return true;
  }
  return false;
}

/** The plaintext; undefined if the tag is not good. */
function openPayload(
  context: HpkeContext,
  outer: ClientHello,
  payloadAt: number,
  payloadEnd: number,
): Uint8Array | undefined {
  const aad = clientHelloOuterAAD(outer.bytes, payloadAt, payloadEnd);
  return context.open(aad, part(outer.bytes, payloadAt, payloadEnd));
}

/**
 * ClientHelloOuterAAD (RFC 9849 §5.2): the body as it came, zeros in place of the payload. By offset, never by value:
 * the payload's bytes may stand elsewhere in the hello as well. The view is valid until the next call.
 */
function clientHelloOuterAAD(
  message: Uint8Array,
  payloadAt: number,
  payloadEnd: number,
): Uint8Array {
  const { length } = message;
  if (aadScratch.length < length) aadScratch = new Uint8Array(length);
  aadScratch.set(message);
  aadScratch.fill(0, payloadAt, payloadEnd);
  return aadScratch.subarray(HEADER, length);
}

/**
 * Shared by all connections: it is filled and read within one call, and holds nothing that was not sent in the clear.
 * Grows to the largest hello seen, which the record layer bounds.
 */
let aadScratch = new Uint8Array(0);

/** Rebuilds, parses and checks what only an inner hello has to have. */
function readInner(encoded: Uint8Array, outer: ClientHello): ClientHello {
  const inner = parseClientHello(rebuildClientHelloInner(encoded, outer));
  const { bytes, echAt, echEnd } = inner;
  if (echAt < 0 || echEnd - echAt !== 1 || bytes[echAt] !== ECHClientHelloType.inner) {
    throw new TlsError("inner hello without its ECH mark");
  }
  checkOffersNoOldVersion(inner);
  return inner;
}

/**
 * "MUST abort … if the ClientHelloInner offers TLS 1.2 or below" (RFC 9849 §7.1); without supported_versions it does.
 * GREASE values are all above 0x0303. Whether 1.3 is among the rest is asked of every hello, later.
 */
function checkOffersNoOldVersion(inner: ClientHello): void {
  const versions = inner.body(ExtensionType.supported_versions);
  if (versions === undefined) throw new TlsError("inner hello offers TLS 1.2");
  checkSupportedVersions(versions, 0, versions.length);
  for (let at = 1; at < versions.length; at += 2) {
    if (u16At(versions, at) <= TLS12) throw new TlsError("inner hello offers TLS 1.2");
  }
}

/**
 * Whether the outer hello names one of our public names. Reads the extension by itself: nobody checks the extensions
 * of an outer hello that was opened, it may be as bare as it likes.
 */
function namesPublicName(outer: ClientHello, keys: EchKeySet): boolean {
  const list = outer.body(ExtensionType.server_name);
  if (list === undefined) return false;
  const nameAt = checkServerName(list, 0, list.length);
  return keys.isPublicName(list.subarray(nameAt));
}

const HEADER = 4;
const TLS12 = 0x0303;
