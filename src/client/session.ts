/**
 * Sessions that a client may resume (RFC 9846 §4.3.11, §4.7.1).
 * @module
 */
import type { Crypto, HashName, RunningHash } from "../crypto/crypto.ts";
import { SUITES } from "../tls/suites.ts";
import { type Extension, preSharedKey } from "./extensions.ts";
import { encodeClientHello, type HelloFields, withExtension } from "./hello.ts";

/** One NewSessionTicket and what its connection was like. */
export interface ClientSession {
  /** CipherSuite code point. */
  readonly suite: number;
  readonly psk: Uint8Array;
  readonly ticket: Uint8Array;
  readonly ageAdd: number;
  readonly lifetimeSeconds: number;
  readonly receivedMs: number;
  readonly serverName: string | undefined;
  readonly alpn: string | undefined;
  readonly echAccepted: boolean;
}

/** pre_shared_key with binders of zeros: right in size, to be filled in by `bind`. */
export function offerSessions(sessions: readonly ClientSession[], nowMs: number): Extension {
  return preSharedKey(
    identities(sessions, nowMs),
    sessions.map((session) => new Uint8Array(hashLength(session))),
  );
}

/**
 * The hello with true binders. `sessions` and `nowMs` are those of `offerSessions`.
 *
 * @param before what the transcript holds before this hello, in the given hash: message_hash and HelloRetryRequest, or nothing
 */
export function bind(
  crypto: Crypto,
  fields: HelloFields,
  sessions: readonly ClientSession[],
  nowMs: number,
  before: (hash: HashName) => RunningHash,
): HelloFields {
  const message = encodeClientHello(fields);
  const bindersLength = sessions.reduce((sum, session) => sum + 1 + hashLength(session), 2);
  const truncated = message.subarray(0, message.length - bindersLength);
  const binders = sessions.map((session) => {
    const { hash } = SUITES.get(session.suite)!;
    const running = before(hash);
    running.update(truncated);
    return crypto.schedule.binder(hash, session.psk, running.digest());
  });
  return withExtension(fields, preSharedKey(identities(sessions, nowMs), binders));
}

/** GREASE for the outer hello: sizes as in the inner one, all else random (RFC 9849 §6.1.2). */
export function greaseSessions(crypto: Crypto, sessions: readonly ClientSession[]): Extension {
  return preSharedKey(
    sessions.map((session) => ({
      identity: crypto.random(session.ticket.length),
      obfuscatedAge: crypto.random(4).reduce((value, byte) => value * 256 + byte, 0),
    })),
    sessions.map((session) => crypto.random(hashLength(session))),
  );
}

function identities(sessions: readonly ClientSession[], nowMs: number) {
  return sessions.map((session) => ({
    identity: session.ticket,
    obfuscatedAge: (nowMs - session.receivedMs + session.ageAdd) >>> 0,
  }));
}

function hashLength(session: ClientSession): number {
  return SUITES.get(session.suite)!.hashLength;
}
