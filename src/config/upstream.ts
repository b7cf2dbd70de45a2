/**
 * How a server behind us, and how often it is looked at, is written.
 * @module
 */
import type { UpstreamAddress } from "../snapshot/forward-spec.ts";

/** `host:port`, `[::1]:port`, `unix:/path`. With `refused`: why not, and what is accepted. */
export function parseUpstream(text: string): UpstreamAddress | { readonly refused: string } {
  const found = JSON.stringify(text);
  if (text.startsWith("unix:")) {
    const path = text.slice("unix:".length);
    if (path.startsWith("/") && path.length > 1) return { path };
    return { refused: `found ${found}, accepted: an absolute path as in "unix:/run/app.sock"` };
  }
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1];
  if (scheme !== undefined) {
    return { refused: `found ${found}, accepted: host and port without ${scheme}://` };
  }
  if (/^[0-9a-f:]*:[0-9a-f]*:[0-9a-f:.]*$/i.test(text)) {
    return { refused: `found ${found}, accepted: an IPv6 address in brackets, as in "[::1]:3000"` };
  }
  const parts = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+)):(\d{1,5})$/i.exec(text);
  const port = Number(parts?.[3]);
  if (parts === null || port < 1 || port > 65535) {
    const hint = /^[a-z0-9._-]+$/i.test(text) ? "; its port is missing" : "";
    return {
      refused:
        `found ${found}, accepted: "host:port" as in "127.0.0.1:3000", or "unix:/path"${hint}`,
    };
  }
  return { hostname: (parts[1] ?? parts[2])!, port };
}

/** "500ms", "10s", "1m" in milliseconds; undefined: it is no such time, or shorter than 100 ms or longer than a day. */
export function parseDuration(text: string): number | undefined {
  const parts = /^(\d{1,9})(ms|s|m|h)$/.exec(text);
  if (parts === null) return undefined;
  const ms = Number(parts[1]) * { ms: 1, s: 1000, m: 60_000, h: 3600_000 }[parts[2] as "ms"];
  return ms >= 100 && ms <= 86_400_000 ? ms : undefined;
}
