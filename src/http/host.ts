/**
 * `host` and `host:port` as they come from clients (RFC 9110 §7.2), strict: what passes is safe to compare and to
 * repeat in a Location.
 * @module
 */
export interface HostPort {
  /** Lower case, no trailing dot; an IPv6 address without its brackets. */
  readonly host: string;
  readonly port: number | undefined;
}

/** Undefined where it is none: empty, userinfo, `%`, a colon too many, characters that no name has. */
export function parseHost(value: string): HostPort | undefined {
  const parts = HOST.exec(value);
  if (parts === null) return undefined;
  const port = parts[3] === undefined || parts[3] === "" ? undefined : Number(parts[3]);
  if (port !== undefined && port > 65535) return undefined;
  const host = (parts[1] ?? parts[2] ?? "").toLowerCase();
  return { host: host.endsWith(".") ? host.slice(0, -1) : host, port };
}

/** [IPv6], or labels of letters, digits, `-` and `_`, at most 255 bytes; then perhaps a port. */
const HOST =
  /^(?:\[([0-9A-Fa-f:.]{2,45})\]|(?=.{1,255}(?::|$))((?:[0-9A-Za-z_-]{1,63}\.)*[0-9A-Za-z_-]{1,63}\.?))(?::(\d{0,5}))?$/;
