/**
 * Steps 11-17 of tls13-server §2.1: what both sides can do, decided from one hello and one site.
 * @module
 */
import type { Suite } from "../crypto/crypto.ts";
import type { Refusal, ServerConfig, SiteConfig } from "./config.ts";
import type { ServerCredential } from "./credential.ts";
import { type Reason, TlsError } from "./error.ts";
import type { Offer } from "./offer.ts";
import { SUITES } from "./suites.ts";
import type { TicketState } from "./tickets.ts";
import type { ClientHello } from "./wire/client-hello.ts";
import { CipherSuite, ExtensionType, NamedGroup } from "./wire/code-points.ts";

export interface Plan {
  readonly cipherSuite: number;
  readonly suite: Suite;
  readonly group: number;
  readonly alpn: string | undefined;
  readonly resume: Resumption | undefined;
  /** Undefined on a resumption, or where the name is refused. */
  readonly signer: Signer | undefined;
  /** Undefined where the name is refused. */
  readonly site: SiteConfig | undefined;
  /** Said under handshake keys instead of a Certificate: ECH was accepted, the name must not show (policy §8.10). */
  readonly refusal: Reason | undefined;
}

export interface Signer {
  readonly credential: ServerCredential;
  readonly scheme: number;
}

export interface Resumption {
  readonly index: number;
  readonly ticket: TicketState;
}

/**
 * Decides everything but the key exchange itself.
 *
 * @throws {TlsError} what is wrong; where ECH was accepted, whatever depends on the inner name comes back as
 *   `refusal` instead
 */
export function negotiate(
  offer: Offer,
  choice: SiteConfig | Refusal,
  config: ServerConfig,
  nowMs: number,
): Plan {
  const hello = offer.hello;
  const cipherSuite = chooseSuite(hello, config);
  const suite = SUITES.get(cipherSuite)!;
  const hidden = offer.ech !== undefined;
  const site = "refuse" in choice ? undefined : choice;

  let refusal: Reason | undefined = "refuse" in choice ? choice.refuse : undefined;
  let signer: Signer | undefined;
  let alpn: string | undefined;
  let resume: Resumption | undefined;
  if (site !== undefined) {
    signer = chooseSigner(hello, site);
    if (signer === undefined && hello.hasSignatureAlgorithms) {
      refusal = "no signature scheme in common";
    } else if (site.alpn !== undefined && hello.offersAlpn) {
      alpn = hello.selectAlpn(site.alpn);
      if (alpn === undefined) refusal = "no application protocol in common";
    }
    if (refusal === undefined) {
      resume = chooseTicket(hello, site, suite, config, nowMs);
      if (resume !== undefined) signer = undefined;
      else if (signer === undefined) refusal = "missing signature_algorithms";
    }
  }
  if (refusal !== undefined) {
    if (!hidden) throw new TlsError(refusal);
    signer = undefined;
    alpn = undefined;
  }

  hello.checkKeyShares();
  const group = chooseGroup(hello, site?.groups ?? config.groups);
  return { cipherSuite, suite, group, alpn, resume, signer, site, refusal };
}

/** Ours in our order, but ChaCha20 first for a client that puts it before AES (policy §5). */
function chooseSuite(hello: ClientHello, config: ServerConfig): number {
  const chacha: number = CipherSuite.TLS_CHACHA20_POLY1305_SHA256;
  if (hello.prefersChaCha20 && config.suites.some((suite) => suite === chacha)) return chacha;
  for (const suite of config.suites) if (hello.offersCipherSuite(suite)) return suite;
  throw new TlsError("no cipher suite in common");
}

function chooseSigner(hello: ClientHello, site: SiteConfig): Signer | undefined {
  if (!hello.hasSignatureAlgorithms) return undefined;
  for (const credential of site.credentials) {
    const scheme = credential.schemeFor(hello);
    if (scheme !== undefined) return { credential, scheme };
  }
  return undefined;
}

/**
 * The first ticket that opens and still fits: hash, lifetime, name and policy (RFC 9846 §4.3.11, tls13-server §7).
 * Any other is passed over in silence.
 */
function chooseTicket(
  hello: ClientHello,
  site: SiteConfig,
  suite: Suite,
  config: ServerConfig,
  nowMs: number,
): Resumption | undefined {
  const tickets = config.tickets;
  if (tickets === undefined || !site.tickets || !hello.offersPskDheKe) return undefined;
  if (site.clientAuth !== undefined) return undefined; // a ticket would stand for the certificate (policy §7.3)
  const count = Math.min(hello.pskCount, config.limits.maxPskIdentities);
  for (let index = 0; index < count; index++) {
    const ticket = tickets.open(hello.pskIdentity(index));
    if (ticket === undefined) continue;
    if (SUITES.get(ticket.suite)?.hash !== suite.hash) continue;
    if (nowMs > ticket.createdMs + ticket.lifetimeSeconds * 1000) continue;
    if (nowMs > (ticket.authenticatedSeconds + MAX_SESSION_SECONDS) * 1000) continue;
    if (ticket.policyId !== site.policyId) continue;
    if (!config.crypto.equal(ticket.serverNameHash, serverNameHash(hello, config))) continue;
    return { index, ticket };
  }
  return undefined;
}

/** SHA-256 of the lower-cased name: what binds a ticket to its site. No name hashes as the empty one. */
export function serverNameHash(hello: ClientHello, config: ServerConfig): Uint8Array {
  const name = hello.serverName;
  if (name === undefined) return config.crypto.digest("sha256", lowered.subarray(0, 0));
  for (let i = 0; i < name.length; i++) {
    const byte = name[i]!;
    lowered[i] = byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;
  }
  return config.crypto.digest("sha256", lowered.subarray(0, name.length));
}

/**
 * A post-quantum group that both have wins, even at the price of a HelloRetryRequest; then the first of ours that
 * came with a share; then the first of ours (RFC 9846 §4.3.8, tls13-server §3).
 */
function chooseGroup(hello: ClientHello, ours: readonly number[]): number {
  let withShare: number | undefined;
  let listed: number | undefined;
  for (const group of ours) {
    if (!hello.offersGroup(group)) continue;
    if (group === NamedGroup.X25519MLKEM768) return group;
    listed ??= group;
    if (withShare === undefined && hello.hasKeyShare(group)) withShare = group;
  }
  const group = withShare ?? listed;
  if (group === undefined) {
    // A hello with a PSK may come without groups (RFC 9846 §9.2), and then that PSK may be of no use.
    const sent = hello.has(ExtensionType.supported_groups);
    throw new TlsError(sent ? "no group in common" : "missing supported_groups");
  }
  return group;
}

/** A name is at most 255 bytes (client-hello.ts refuses longer ones); used within one call. */
const lowered = new Uint8Array(256);

/** However often a session is resumed, its full handshake is no older than this (tls13-server §14.1). */
export const MAX_SESSION_SECONDS = 604_800;
