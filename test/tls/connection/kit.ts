/**
 * What the tests of the state machine have in common.
 * @module
 */
import { expect } from "vitest";
import type { ClientSession } from "../../../src/client/client.ts";
import type { AlertName } from "../../../src/tls/alert.ts";
import type { Reason } from "../../../src/tls/error.ts";
import type { KeyEpoch } from "../../../src/client/error.ts";
import { ContentType, HandshakeType, NamedGroup } from "../../../src/tls/wire/code-points.ts";
import { type KeyKind, testCertificate } from "../../support/certificates.ts";
import { Pair, type PairOptions } from "../../support/pair.ts";
import { type Fed, recordsOf } from "../../support/raw-server.ts";
import type { TestServer } from "../../support/server-config.ts";

export const DATA: Uint8Array = Uint8Array.of(1, 2, 3);

/** Data both ways. */
export async function echo(pair: Pair): Promise<void> {
  const before = pair.output.plaintextReceived.length;
  await pair.client.write(DATA);
  expect([...pair.output.plaintextReceived.subarray(before)]).toEqual([...DATA]);
  pair.serverSays(DATA);
  expect([...await pair.client.readExactly(DATA.length)]).toEqual([...DATA]);
}

/** The server ended for `reason`, and the client heard it as `alert`, under those keys and once. */
export function expectEnd(
  pair: Pair,
  reason: Reason,
  alert: AlertName | undefined,
  under?: KeyEpoch,
): void {
  expect({ reason: pair.serverError?.reason, alert: pair.alert }).toEqual({ reason, alert });
  if (under !== undefined) expect(pair.clientError?.alertReceivedUnder).toBe(under);
  expect(pair.server.wantsInput).toBe(false);
}

/** The server ended for `reason` and answered nothing but one alert in clear. */
export function expectRefusal(fed: Fed, reason: Reason, alert: AlertName): void {
  expect({ reason: fed.reason, alert: fed.alert }).toEqual({ reason, alert });
  expect(fed.records).toEqual([ContentType.alert]);
  expect([...fed.output.sent[0]!.subarray(0, 6)]).toEqual([21, 3, 3, 0, 2, 2]); // level fatal
}

/** The tickets of one full handshake. */
export async function sessionsOf(
  server: TestServer,
  options: Omit<PairOptions, "server"> = {},
): Promise<ClientSession[]> {
  return await (await Pair.connect({ ...options, server })).tickets();
}

/** `content` in one record or more under the client's keys, and what comes of it. */
export async function clientSends(pair: Pair, type: number, content: Uint8Array): Promise<void> {
  pair.client.records.queue(type, content);
  await pair.client.records.flush();
  await pair.settle();
}

/** The sizes on the wire of all that the server sent, header included. */
export function recordSizes(wire: Uint8Array): number[] {
  return recordsOf(wire).map(({ fragment }) => 5 + fragment.length);
}

/** The first handshake message that went out in clear. */
export function firstMessage(wire: Uint8Array): Uint8Array {
  const first = recordsOf(wire)[0]!;
  expect(first.type).toBe(ContentType.handshake);
  return first.fragment;
}

export function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const copy = bytes.slice();
  copy.set([copy.at(at)! ^ 1], at < 0 ? copy.length + at : at);
  return copy;
}

/** What a client shows and signs with. */
export async function clientCertificate(kind: KeyKind = "p256") {
  const { chain, keyPem } = await testCertificate({ kind, usage: "client", names: ["user"] });
  return { chain, keyPem };
}

/** Every state in which a connection can rest before it is established. */
export const HANDSHAKE_STATES = [
  "ExpectClientHello",
  "AwaitSite",
  "ExpectSecondClientHello",
  "AwaitSignature",
  "ExpectCertificate",
  "ExpectCertificateVerify",
  "AwaitClientVerdict",
  "ExpectFinished",
] as const;
export type HandshakeState = (typeof HANDSHAKE_STATES)[number];

/** A connection at rest in that state: the client says no more, or the world does not answer. */
export async function restIn(state: HandshakeState): Promise<Pair> {
  const certificate = await clientCertificate();
  const { client_hello, certificate_verify, finished } = HandshakeType;
  const [options, stopBefore] = ({
    ExpectClientHello: [{}, client_hello],
    AwaitSite: [{ chooseSite: () => undefined }, undefined],
    ExpectSecondClientHello: [
      { client: { groups: [NamedGroup.x25519], keyShares: [] } },
      client_hello,
    ],
    AwaitSignature: [{ server: { slowSigner: true }, signature: () => undefined }, undefined],
    ExpectCertificate: [{ server: { clientAuth: "request" } }, HandshakeType.certificate],
    ExpectCertificateVerify: [
      { server: { clientAuth: "request" }, client: { certificate } },
      certificate_verify,
    ],
    AwaitClientVerdict: [
      {
        server: { clientAuth: "require_and_verify" },
        client: { certificate },
        verdict: () => undefined,
      },
      undefined,
    ],
    ExpectFinished: [{}, finished],
  } satisfies Record<HandshakeState, [PairOptions, number | undefined]>)[state];

  let left = state === "ExpectSecondClientHello" ? 1 : 0;
  let stopped = false;
  const pair = await Pair.open({
    ...options,
    client: {
      ...(options as PairOptions).client,
      hooks: {
        beforeSend(message, type) {
          if (type === stopBefore && left-- <= 0) stopped = true;
          return stopped ? [] : message;
        },
      },
    },
  });
  void pair.handshake();
  await pair.until(() => pair.server.state === state);
  if (stopBefore !== undefined) await pair.until(() => stopped);
  return pair;
}
