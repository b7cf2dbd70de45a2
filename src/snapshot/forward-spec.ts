/**
 * What a site says whose bytes go on to another server.
 * @module
 */

/** Where an upstream listens. `hostname` is a name or an IP address, IPv6 without brackets. */
export type UpstreamAddress =
  | { readonly hostname: string; readonly port: number }
  | { readonly path: string };

interface Forwarding {
  /** At least one. The one with the fewest connections gets the next. */
  readonly upstreams: readonly UpstreamAddress[];
  /** A PROXY protocol header of this version before the first byte; 0: none. */
  readonly proxyProtocol: 0 | 1 | 2;
  /** A TCP connection to each upstream this often, to see whether it is there; undefined: only real ones tell. */
  readonly checkEveryMs?: number;
}

/** Decrypted bytes go on, whatever they are. */
export interface ForwardSpec extends Forwarding {
  readonly kind: "forward";
}

/**
 * The connection goes on as it came, TLS and all. The site is found by the server_name of the hello as it was sent: of
 * a hello with ECH, that is the outer one.
 */
export interface PassthroughSpec extends Forwarding {
  readonly kind: "passthrough";
}
