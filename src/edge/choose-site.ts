/**
 * The site for a hello (policy §6).
 * @module
 */
import type { Site, Snapshot } from "../snapshot/snapshot.ts";
import type { Refusal } from "../tls/config.ts";
import type { ClientHello } from "../tls/wire/client-hello.ts";

/**
 * Undefined: it names somebody whom the snapshot does not know.
 *
 * @param local asked for its address, which is a system call, only where there is no name
 * @param isHidden the name came in an inner hello
 */
export function chooseSite(
  snapshot: Snapshot,
  hello: ClientHello,
  local: { readonly localAddress: string },
  isHidden: boolean,
): Site | Refusal | undefined {
  // RFC 8737 §3: a CA that looks for a challenge lists nothing else. There is none, whatever the name (policy §9).
  if (hello.offersAlpnAlone("acme-tls/1")) return { refuse: "no application protocol in common" };
  const name = hello.serverName;
  if (name !== undefined) return snapshot.find(name, isHidden);
  return snapshot.findWithoutName(local.localAddress, isHidden) ??
    { refuse: "missing server_name" };
}
