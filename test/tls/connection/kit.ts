/**
 * What the tests of the state machine have in common.
 * @module
 */
import { expect } from "vitest";
import type { ClientSession } from "../../../src/client/client.ts";
import type { AlertName } from "../../../src/tls/alert.ts";
import { ServerCredential } from "../../../src/tls/credential.ts";
import type { Reason } from "../../../src/tls/error.ts";
import type { KeyEpoch } from "../../../src/client/error.ts";
import { ContentType, HandshakeType, NamedGroup } from "../../../src/tls/wire/code-points.ts";
import { type KeyKind, testCertificate } from "../../support/certificates.ts";
import { Pair, type PairOptions } from "../../support/pair.ts";
import { type Fed, recordsOf } from "../../support/raw-server.ts";
import { testCrypto, type TestServer } from "../../support/server-config.ts";

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

/** The same chain, signed for otherwise; undefined: the world is asked. */
export function signedBy(
  credential: ServerCredential,
  sign: ServerCredential["sign"],
): ServerCredential {
  const { id, chain, schemes, notAfterMs } = credential;
  return new ServerCredential({ id, chain, schemes, notAfterMs, sign });
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

/** The secrets that a server logs, by label. */
export class SecretLog {
  readonly lines: string[] = [];
  readonly add = (line: string): void => void this.lines.push(line);

  /** The last one under that label. */
  get(label: string): Uint8Array {
    const line = this.lines.findLast((line) => line.startsWith(`${label} `));
    return hexBytes(line!.split(" ")[2]!);
  }
}

export function hexBytes(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16));
}

/** A record under a traffic secret of TLS_AES_128_GCM_SHA256, past all rules. */
export function sealed(
  secret: Uint8Array,
  sequence: number,
  type: number,
  content: Uint8Array,
): Uint8Array {
  const key = expandLabel(secret, "key", 16);
  const iv = expandLabel(secret, "iv", 12);
  iv[11]! ^= sequence;
  const record = new Uint8Array(5 + content.length + 1 + 16);
  record.set([23, 3, 3, (record.length - 5) >> 8, record.length - 5]);
  const inner = Uint8Array.of(...content, type);
  testCrypto.aead("aes-128-gcm", key).seal(iv, record.slice(0, 5), inner, record, 5);
  return record;
}

/** What such a record says. */
export function opened(
  secret: Uint8Array,
  sequence: number,
  fragment: Uint8Array,
): { readonly type: number; readonly content: Uint8Array; readonly padding: number } {
  const iv = expandLabel(secret, "iv", 12);
  iv[11]! ^= sequence;
  const header = Uint8Array.of(23, 3, 3, fragment.length >> 8, fragment.length);
  const aead = testCrypto.aead("aes-128-gcm", expandLabel(secret, "key", 16));
  const inner = aead.open(iv, header, fragment)?.slice();
  if (inner === undefined) throw new Error("The record does not open");
  const typeAt = inner.findLastIndex((byte) => byte !== 0);
  return {
    type: inner[typeAt]!,
    content: inner.subarray(0, typeAt),
    padding: inner.length - typeAt - 1,
  };
}

/** Whole handshake messages that stand behind one another. */
export function messagesOf(content: Uint8Array): Uint8Array[] {
  const messages: Uint8Array[] = [];
  for (let at = 0; at < content.length;) {
    const end = at + 4 + (content[at + 1]! << 16) + (content[at + 2]! << 8) + content[at + 3]!;
    messages.push(content.subarray(at, end));
    at = end;
  }
  return messages;
}

/** HKDF-Expand-Label of at most one block of SHA-256, without context (RFC 9846 §7.1). */
function expandLabel(secret: Uint8Array, label: string, length: number): Uint8Array {
  const name = Array.from(`tls13 ${label}`, (character) => character.charCodeAt(0));
  const info = Uint8Array.of(0, length, name.length, ...name, 0, 1);
  return testCrypto.hmac("sha256", secret, info).slice(0, length);
}
