/**
 * Where on its host a request points to, as it may stand in a Location.
 * @module
 */

/** Path and query of a request target (RFC 9112 §3.2), ASCII. Undefined: it has a fragment, which none may have. */
export function pathOfTarget(target: string): string | undefined {
  if (target.includes("#")) return undefined;
  // RFC 9112 §3.2.2: in the absolute form the path begins behind the authority, and may be empty.
  const path = target.replace(/^https?:\/\/[^/?]*/i, "").replace(/^(?!\/)/, "/");
  return path.replaceAll(/[^\x21-\x7e]/g, percentEncoded);
}

function percentEncoded(byte: string): string {
  return `%${byte.charCodeAt(0).toString(16).padStart(2, "0").toUpperCase()}`;
}
