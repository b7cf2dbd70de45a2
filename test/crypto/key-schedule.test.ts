/**
 * The key schedule against one written a second time, straight from RFC 9846 §7.1: RFC 8448 has SHA-256 and AES-128 alone.
 */
import { createHash, createHmac } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { HashName } from "../../src/crypto/crypto.ts";
import { PROVIDERS, SUITES } from "./providers.ts";

const NONE: Uint8Array = new Uint8Array(0);

for (const { name, crypto } of PROVIDERS) {
  const { schedule } = crypto;
  describe.each(Object.entries(SUITES))(`%s with ${name}`, (_name, suite) => {
    const { hash, hashLength, keyLength } = suite;
    const zeros = new Uint8Array(hashLength);
    const psk = crypto.random(hashLength);
    const shared = crypto.random(64);
    const transcript = crypto.random(hashLength);
    const label = (secret: Uint8Array, text: string, context = NONE, length: number = hashLength) =>
      expandLabel(hash, secret, text, context, length);
    const derive = (secret: Uint8Array, text: string, transcriptHash: Uint8Array) =>
      label(secret, text, transcriptHash);
    const keys = (secret: Uint8Array) => ({
      key: label(secret, "key", NONE, keyLength),
      iv: label(secret, "iv", NONE, 12),
    });

    test.each([["without a PSK", undefined], ["with a PSK", psk]])(
      "tls13 6: both halves %s",
      (_how, psk) => {
        const early = mac(hash, zeros, psk ?? zeros);
        const handshake = mac(hash, derive(early, "derived", empty(hash)), shared);
        const clientTraffic = derive(handshake, "c hs traffic", transcript);
        const serverTraffic = derive(handshake, "s hs traffic", transcript);
        const main = mac(hash, derive(handshake, "derived", empty(hash)), zeros);
        expect(schedule.handshake(suite, psk, shared, transcript)).toEqual({
          clientTraffic,
          serverTraffic,
          clientKeys: keys(clientTraffic),
          serverKeys: keys(serverTraffic),
          clientFinishedKey: label(clientTraffic, "finished"),
          serverFinishedKey: label(serverTraffic, "finished"),
          main,
        });
        expect(schedule.application(suite, main, transcript)).toEqual({
          clientTraffic: derive(main, "c ap traffic", transcript),
          serverTraffic: derive(main, "s ap traffic", transcript),
          clientKeys: keys(derive(main, "c ap traffic", transcript)),
          serverKeys: keys(derive(main, "s ap traffic", transcript)),
          exporter: derive(main, "exp master", transcript),
        });
        expect(schedule.resumption(hash, main, transcript)).toEqual(
          derive(main, "res master", transcript),
        );
      },
    );

    test("tls13 7: the binder of a resumption PSK", () => {
      const binderKey = derive(mac(hash, zeros, psk), "res binder", empty(hash));
      expect(schedule.binder(hash, psk, transcript)).toEqual(
        mac(hash, label(binderKey, "finished"), transcript),
      );
    });

    test("tls13 7: tickets with nonces of any length, in any order", () => {
      for (
        const nonce of [
          Uint8Array.of(0),
          NONE,
          crypto.random(8),
          Uint8Array.of(1),
          crypto.random(255),
        ]
      ) {
        expect(schedule.ticketPsk(hash, psk, nonce)).toEqual(label(psk, "resumption", nonce));
      }
      expect(() => schedule.ticketPsk(hash, psk, new Uint8Array(256))).toThrow(RangeError);
    });

    test("tls13 9: KeyUpdate after KeyUpdate", () => {
      let secret = psk;
      for (let generation = 1; generation <= 3; generation++) {
        const next = schedule.update(suite, secret);
        expect(next).toEqual({
          secret: label(secret, "traffic upd"),
          keys: keys(label(secret, "traffic upd")),
        });
        secret = next.secret;
      }
    });

    test("tls13 6: exported values of any length up to 255 hashes", () => {
      const secret = derive(psk, "EXPORTER-test", empty(hash));
      for (const length of [0, 1, 32, 48, 49, 100, 255 * hashLength]) {
        const context = crypto.random(length % 60);
        const exported = schedule.exporter(hash, psk, "EXPORTER-test", context, length);
        const hashed = new Uint8Array(createHash(hash).update(context).digest());
        expect(exported).toEqual(label(secret, "exporter", hashed, length));
      }
      const tooLong = 255 * hashLength + 1;
      expect(() => schedule.exporter(hash, psk, "EXPORTER-test", NONE, tooLong)).toThrow(
        RangeError,
      );
      expect(() => schedule.exporter(hash, psk, "x".repeat(250), NONE, 1)).toThrow(RangeError);
    });

    test("ech 5: both confirmations", () => {
      const innerRandom = crypto.random(32);
      const secret = mac(hash, zeros, innerRandom);
      for (const text of ["ech accept confirmation", "hrr ech accept confirmation"] as const) {
        expect(schedule.echConfirmation(hash, innerRandom, text, transcript)).toEqual(
          label(secret, text, transcript, 8),
        );
      }
    });

    test("a transcript hash of another length is a RangeError, not an older hash", () => {
      const short = transcript.subarray(1);
      expect(() => schedule.handshake(suite, undefined, shared, short)).toThrow(RangeError);
      expect(() => schedule.application(suite, psk, short)).toThrow(RangeError);
      expect(() => schedule.resumption(hash, psk, short)).toThrow(RangeError);
    });

    test("what one call returned stays when the next one is made", () => {
      const first = schedule.handshake(suite, undefined, shared, transcript);
      const copy = structuredClone(first);
      schedule.handshake(suite, psk, crypto.random(32), crypto.random(hashLength));
      schedule.application(suite, psk, transcript);
      expect(first).toEqual(copy);
    });
  });
}

function mac(hash: HashName, key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const hmac = createHmac(hash, key);
  for (const part of parts) hmac.update(part);
  return new Uint8Array(hmac.digest());
}

function empty(hash: HashName): Uint8Array {
  return new Uint8Array(createHash(hash).digest());
}

function expandLabel(
  hash: HashName,
  secret: Uint8Array,
  label: string,
  context: Uint8Array,
  length: number,
): Uint8Array {
  const text = new TextEncoder().encode(`tls13 ${label}`);
  const info = [length >> 8, length & 255, text.length, ...text, context.length, ...context];
  const output: number[] = [];
  for (let block = NONE, n = 1; output.length < length; n++) {
    block = new Uint8Array(mac(hash, secret, block, Uint8Array.of(...info, n)));
    output.push(...block);
  }
  return Uint8Array.from(output.slice(0, length));
}
