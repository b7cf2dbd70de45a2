/**
 * What a handler is told of its connection, and which hosts it may answer for.
 * @module
 */
import { parseHost } from "../http/host.ts";
import type { Socket } from "../runtime/runtime.ts";
import { isSameClientAuth } from "../snapshot/client-auth.ts";
import { SiteCredential } from "../snapshot/credential.ts";
import type { Site, Snapshot } from "../snapshot/snapshot.ts";
import type { ClientIdentity, EchStatus, Negotiated } from "../tls/output.ts";
import type { ConnectionFacts, Handler } from "./handlers/handler.ts";
import type { SessionHost } from "./session-host.ts";

type Addresses = Pick<
  ConnectionFacts,
  "remoteAddress" | "remotePort" | "localAddress" | "localPort"
>;

/** The session that facts are of. Idle connections are many: facts refer to it once, not to each of these. */
export interface FactsOrigin {
  readonly socket: Socket;
  /** Where the connection comes from, as far as limits tell sources apart. */
  readonly source: { readonly key: string };
  /** Known by then, as is the snapshot. */
  readonly site: Site | undefined;
  readonly snapshot: Snapshot | undefined;
  readonly host: Pick<SessionHost, "handlerOf">;
}

export class SessionFacts implements ConnectionFacts {
  readonly cipherSuite: number;
  readonly group: number;
  readonly signatureScheme: number | undefined;
  readonly alpn: string | undefined;
  readonly serverName: string | undefined;
  readonly resumed: boolean;
  readonly helloRetried: boolean;
  readonly ech: EchStatus;
  readonly client: ClientIdentity | undefined;
  readonly #origin: FactsOrigin;
  #addresses: Addresses | undefined;

  constructor(negotiated: Negotiated, origin: FactsOrigin) {
    this.#origin = origin;
    this.cipherSuite = negotiated.cipherSuite;
    this.group = negotiated.group;
    this.signatureScheme = negotiated.signatureScheme;
    this.alpn = negotiated.alpn;
    this.serverName = sharedName(negotiated.serverName, origin.site!);
    this.resumed = negotiated.resumed;
    this.helloRetried = negotiated.helloRetried;
    this.ech = negotiated.ech;
    this.client = negotiated.client;
  }

  get remoteAddress(): string {
    return this.#known.remoteAddress;
  }
  get remotePort(): number {
    return this.#known.remotePort;
  }
  get localAddress(): string {
    return this.#known.localAddress;
  }
  get localPort(): number {
    return this.#known.localPort;
  }

  get publicNameOnly(): boolean {
    return this.#site.publicNameOnly;
  }

  mayServe(host: string): boolean {
    return this.#siteOf(host) !== undefined;
  }

  handlerOf(host: string): Handler | undefined {
    const site = this.#siteOf(host);
    return site && this.#origin.host.handlerOf(site);
  }

  /**
   * policy §8.5 and §7.5: the name of the hello itself; another name of the same site; another site's name where the
   * certificate that was shown covers it, or both are in one group, and both ask the same of clients' certificates.
   * Where the hello had no name, client authentication on either side is a mismatch (§7.6). A site that requires ECH
   * is not there for who came without (§8.7), one that is passed on is not ours to answer for.
   */
  #siteOf(host: string): Site | undefined {
    const site = this.#site;
    if (site.publicNameOnly) return undefined;
    if (host === this.serverName) return site; // nearly always: spare it the rest
    const name = parseHost(host.includes(":") ? `[${host}]` : host)?.host;
    if (name === undefined) return undefined;
    if (this.serverName === undefined) {
      if (site.tls.clientAuth !== undefined) return undefined;
      if (name === this.localAddress) return site; // what the credential was chosen by (policy §6.3)
    } else if (name === this.serverName) {
      return site;
    }
    const other = this.#origin.snapshot!.findText(name);
    if (other === undefined) return undefined;
    // Sites are made when they are asked for: the same one may be another object by now. Two have no name in common.
    if (other.names[0] === site.names[0]) return site;
    if (other.publicNameOnly || other.handler.kind === "passthrough") return undefined;
    if (other.requireEch === true && this.ech.outcome !== "accepted") return undefined;
    if (!isSameClientAuth(site.tls.clientAuth, other.tls.clientAuth)) return undefined;
    return this.#sharesWith(other, name) ? other : undefined;
  }

  #sharesWith(other: Site, name: string): boolean {
    const { group, sniHost } = this.#site.hosts ?? {};
    if (group !== undefined && group === other.hosts?.group) return true;
    return sniHost === "any" || (sniHost !== "match" && this.#certificateCovers(name));
  }

  /**
   * Each address is a system call, and few handlers ask. A closed socket has none left: whoever answers later than that
   * asks once while it is open.
   */
  get #known(): Addresses {
    const { socket, source: { key } } = this.#origin;
    return this.#addresses ??= {
      // Idle connections are many: their addresses are shared where they can be.
      remoteAddress: key.includes(":") ? socket.remoteAddress : key,
      remotePort: socket.remotePort,
      localAddress: shared(socket.localAddress),
      localPort: socket.localPort,
    };
  }

  get #site(): Site {
    return this.#origin.site!;
  }

  /** Any certificate that the peer may have been shown: after a resumption, nobody knows which it was. */
  #certificateCovers(name: string): boolean {
    const scheme = this.signatureScheme;
    const shown = this.#site.tls.credentials.filter((credential) =>
      scheme === undefined || credential.schemes.includes(scheme)
    );
    return shown.length > 0 &&
      shown.every((credential) => credential instanceof SiteCredential && credential.covers(name));
  }
}

/** The same text as the site has it, where that is found at once. */
function sharedName(name: string | undefined, { names }: Site): string | undefined {
  return name === names[0] ? names[0] : name;
}

/** Our own addresses, few as they are, once each. */
const LOCAL_ADDRESSES = new Map<string, string>();
const MAX_LOCAL_ADDRESSES = 256;

function shared(address: string): string {
  const known = LOCAL_ADDRESSES.get(address);
  if (known !== undefined) return known;
  if (LOCAL_ADDRESSES.size < MAX_LOCAL_ADDRESSES) LOCAL_ADDRESSES.set(address, address);
  return address;
}
