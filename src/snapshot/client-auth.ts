/**
 * Client authentication of a site: what the handshake asks for, and the pool that answers are judged by.
 * @module
 */
import type { ClientAuth } from "../tls/config.ts";
import { sameBytes } from "../x509/certificate.ts";
import type { ClientPool } from "../x509/chain.ts";

export class SiteClientAuth implements ClientAuth {
  readonly mode: ClientAuth["mode"];
  readonly authorities: readonly Uint8Array[];
  readonly pool: ClientPool;

  constructor(mode: ClientAuth["mode"], pool: ClientPool) {
    this.mode = mode;
    this.authorities = pool.authorities;
    this.pool = pool;
  }
}

/** Who may visit one of two sites may visit the other (policy §7.5). */
export function isSameClientAuth(a: ClientAuth | undefined, b: ClientAuth | undefined): boolean {
  if (a === b) return true;
  if (!(a instanceof SiteClientAuth && b instanceof SiteClientAuth)) return false;
  const ofA = a.pool.anchors;
  const ofB = b.pool.anchors;
  return a.mode === b.mode && ofA.length === ofB.length &&
    ofA.every(({ der }, i) => sameBytes(der, ofB[i]!.der));
}
