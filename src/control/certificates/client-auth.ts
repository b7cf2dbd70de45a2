/**
 * The verdict on clients' certificates.
 * @module
 */
import { SiteClientAuth } from "../../snapshot/client-auth.ts";
import type { ClientAuth } from "../../tls/config.ts";
import type { ClientVerdict } from "../../tls/output.ts";
import { verifyClientChain } from "../../x509/chain.ts";

/** Of a chain that was shown to a site which verifies. */
export function verifyClient(
  chain: readonly Uint8Array[],
  auth: ClientAuth,
  nowMs: number,
): ClientVerdict {
  if (!(auth instanceof SiteClientAuth)) return { refuse: "unknown CA" };
  return verifyClientChain(chain, auth.pool, nowMs);
}
