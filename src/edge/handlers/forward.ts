/**
 * `forward`: decrypted bytes go on to another server, and its bytes come back. What they mean is not looked at.
 * @module
 */
import type { ForwardSpec, PassthroughSpec } from "../../snapshot/forward-spec.ts";
import { CipherSuite } from "../../tls/wire/code-points.ts";
import { commonName } from "../client-name.ts";
import { encodeProxyV1, encodeProxyV2, type ProxyHeader } from "../proxy-protocol.ts";
import { chooseUpstream, type Upstream } from "../upstreams/upstream.ts";
import type { Upstreams } from "../upstreams/upstreams.ts";
import { ForwardConnection } from "./forward-connection.ts";
import type { ConnectionFacts, Endpoints, Handler, HandlerConnection, Stream } from "./handler.ts";

export class ForwardHandler implements Handler {
  readonly kind = "forward";
  readonly alpn = ["http/1.1"];
  readonly upstreams: Upstreams;
  readonly #addresses: ForwardSpec["upstreams"];
  #among: readonly Upstream[] = [];
  /** Of `Upstreams` when `#among` was asked for. */
  #generation = -1;
  readonly #proxyProtocol: 0 | 1 | 2;
  #turn: number;

  /** @throws {RangeError} no upstream */
  constructor(spec: ForwardSpec | PassthroughSpec, upstreams: Upstreams) {
    if (spec.upstreams.length === 0) throw new RangeError("Cannot forward: no upstream is given");
    this.upstreams = upstreams;
    this.#addresses = spec.upstreams;
    this.#proxyProtocol = spec.proxyProtocol;
    this.#turn = upstreams.nextTurn();
  }

  open(stream: Stream, facts: ConnectionFacts): HandlerConnection {
    // The public name is there to hand out keys, and for nothing else (policy §8.3).
    if (facts.publicNameOnly) return endAtOnce(stream);
    return new ForwardConnection(this, stream, this.#header(facts, () => headerOf(facts)));
  }

  /** A connection that is not ours to decrypt: `stream` carries it as it came. `name` is the one in its hello. */
  openEncrypted(stream: Stream, endpoints: Endpoints, name: string): HandlerConnection {
    return new ForwardConnection(
      this,
      stream,
      this.#header(endpoints, () => ({ endpoints: endpointsOf(endpoints), authority: name })),
    );
  }

  /** The next one to try; undefined: enough were tried. */
  choose(tried: readonly Upstream[]): Upstream | undefined {
    const { clock, limits, generation } = this.upstreams;
    if (tried.length >= limits.maxConnectAttempts) return undefined;
    // A handler may outlive what it knew: its spec goes with one configuration and comes back with another.
    if (this.#generation !== generation) {
      this.#generation = generation;
      this.#among = this.#addresses.map((address) => this.upstreams.of(address));
    }
    this.#turn = (this.#turn + 1) % this.#among.length;
    return chooseUpstream(this.#among, tried, clock.monotonicMs(), this.#turn);
  }

  /** It has ended a connection that it was given something on, without an answer. */
  brokeOff(upstream: Upstream, error: unknown): void {
    this.upstreams.brokeOff(upstream, error, this.#among);
  }

  #header(endpoints: Endpoints, header: () => ProxyHeader): Uint8Array | undefined {
    switch (this.#proxyProtocol) {
      case 0:
        return undefined;
      case 1:
        return encodeProxyV1({ endpoints: endpointsOf(endpoints) });
      case 2:
        return encodeProxyV2(header());
    }
  }
}

function headerOf(facts: ConnectionFacts): ProxyHeader {
  const leaf = facts.client?.chain[0];
  return {
    endpoints: endpointsOf(facts),
    alpn: facts.alpn,
    authority: facts.serverName,
    tls: {
      version: "TLSv1.3",
      cipher: CIPHER_NAMES.get(facts.cipherSuite),
      client: leaf && {
        commonName: commonName(leaf),
        verified: facts.client?.verdict === "verified",
      },
    },
  };
}

const CIPHER_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(CipherSuite).map(([name, code]) => [code, name]),
);

function endpointsOf(endpoints: Endpoints): ProxyHeader["endpoints"] {
  return {
    sourceAddress: endpoints.remoteAddress,
    sourcePort: endpoints.remotePort,
    destinationAddress: endpoints.localAddress,
    destinationPort: endpoints.localPort,
  };
}

function endAtOnce(stream: Stream): HandlerConnection {
  stream.end();
  return { data() {}, end() {}, drain() {}, close() {} };
}
