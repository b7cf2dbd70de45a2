/**
 * What a client offers: the hello that counts, and how ECH came out (ech-server §3).
 * @module
 */
import type { ServerConfig } from "./config.ts";
import { type EchSession, openEch } from "./ech.ts";
import type { EchStatus } from "./output.ts";
import { type ClientHello, parseClientHello } from "./wire/client-hello.ts";
import { decodeEchClientHello } from "./wire/ech-client-hello.ts";
import { TlsError } from "./error.ts";

export interface Offer {
  /** The inner hello if ECH was accepted, else the one that came. */
  readonly hello: ClientHello;
  readonly status: EchStatus;
  /** The kept HPKE context and what goes with it, if ECH was accepted. */
  readonly ech: EchSession | undefined;
}

/**
 * Steps 2-9 of tls13-server §2.1: everything about a hello that no name decides.
 *
 * @param whole false if handshake bytes follow the message: a ClientHello ends its record (RFC 9846 §5.1)
 * @throws {TlsError} for any row of tls13-server §2 and ech-server §3-§4 that the hello alone decides
 */
export function readOffer(message: Uint8Array, whole: boolean, config: ServerConfig): Offer {
  const outer = parseClientHello(message);
  if (!whole) throw new TlsError("excess handshake bytes", "after ClientHello");
  const offer = openOffer(outer, config);
  offer.hello.checkExtensions();
  if (offer.status.outcome !== "rejected") return offer;
  // The outer name may be read only now that its syntax has been checked.
  return { ...offer, status: withOuterName(offer.status, outer, config) };
}

function openOffer(outer: ClientHello, config: ServerConfig): Offer {
  if (outer.echAt < 0) return { hello: outer, status: NOT_OFFERED, ech: undefined };
  if (config.ech === undefined) {
    const offered = decodeEchClientHello(outer);
    if (offered.type === "inner") throw new TlsError("ECH of type inner from the network");
    return {
      hello: outer,
      status: { ...NOT_OFFERED, outcome: "rejected", configId: offered.configId },
      ech: undefined,
    };
  }
  const result = openEch(outer, config.ech, config);
  switch (result.outcome) {
    case "not-offered":
      return { hello: outer, status: NOT_OFFERED, ech: undefined };
    case "rejected":
      return {
        hello: outer,
        status: {
          ...NOT_OFFERED,
          outcome: "rejected",
          configId: result.configId,
          heldId: result.heldId,
        },
        ech: undefined,
      };
    case "accepted":
      return {
        hello: result.inner,
        status: {
          ...NOT_OFFERED,
          outcome: "accepted",
          configId: result.session.key.config.configId,
          heldId: true,
        },
        ech: result.session,
      };
  }
}

/** A rejected offer under the public name is most likely a stale key; under another name, GREASE. */
function withOuterName(status: EchStatus, outer: ClientHello, config: ServerConfig): EchStatus {
  const name = outer.serverName;
  if (name === undefined) return status;
  return {
    ...status,
    staleLikely: config.ech?.isPublicName(name) ?? false,
    outerName: outer.serverNameText,
  };
}

const NOT_OFFERED: EchStatus = {
  outcome: "not-offered",
  staleLikely: false,
  configId: undefined,
  heldId: false,
  outerName: undefined,
};
