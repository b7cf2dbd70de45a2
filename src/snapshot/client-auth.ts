/**
 * Client authentication of a site: what the handshake asks for, and the pool that answers are judged by.
 * @module
 */
import type { ClientAuth } from "../tls/config.ts";
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
