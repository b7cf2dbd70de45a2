/**
 * A site as far as a snapshot looks into it: names and a text, nothing to prove them with.
 * @module
 */
import type { Site } from "../../src/snapshot/snapshot.ts";

export function bareSite(names: readonly string[], publicNameOnly: boolean = false): Site {
  return {
    names,
    tls: {
      policyId: 0,
      credentials: [],
      alpn: undefined,
      groups: [],
      clientAuth: undefined,
      tickets: true,
    },
    handler: { kind: "respond", text: names.join() },
    publicNameOnly,
  };
}
