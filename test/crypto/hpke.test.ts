/** HPKE against RFC 9180's vectors, and against hpke-js as the sender. */
import { AeadId, CipherSuite, KdfId, KemId } from "hpke-js";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { HpkeContext } from "../../src/crypto/crypto.ts";
import { bytes, hex, PROVIDERS } from "./providers.ts";

interface Vector {
  readonly name: string;
  readonly kem_id: KemId;
  readonly aead_id: AeadId;
  readonly info: string;
  readonly skEm: string;
  readonly enc: string;
  readonly skRm: string;
  readonly pkRm: string;
  readonly shared_secret: string;
  readonly encryptions: readonly {
    readonly seq: number;
    readonly aad: string;
    readonly pt: string;
    readonly ct: string;
  }[];
}

const { vectors } = JSON.parse(
  readFileSync(new URL("../fixtures/hpke.json", import.meta.url), "utf8"),
) as { vectors: readonly Vector[] };

const KEMS = [
  { kem: "X25519", kemId: KemId.DhkemX25519HkdfSha256, group: "x25519" },
  { kem: "P-256", kemId: KemId.DhkemP256HkdfSha256, group: "secp256r1" },
] as const;
const AEADS = [
  { aead: "AES-128-GCM", aeadId: AeadId.Aes128Gcm },
  { aead: "AES-256-GCM", aeadId: AeadId.Aes256Gcm },
  { aead: "ChaCha20-Poly1305", aeadId: AeadId.Chacha20Poly1305 },
] as const;
const INFO = new TextEncoder().encode("tls ech\0 and a config");

for (const { name, crypto } of PROVIDERS) {
  describe(`HPKE with ${name}`, () => {
    test.each(vectors)("ech 1: $name opens RFC 9180's messages", async (vector) => {
      const recipient = crypto.hpkeRecipient(
        vector.kem_id,
        bytes(vector.skRm),
        bytes(vector.info),
      );
      expect(hex(recipient.publicKey)).toBe(vector.pkRm);
      const context = recipient.setup(vector.aead_id, bytes(vector.enc))!;
      expect(hex(context.sharedSecret)).toBe(vector.shared_secret);
      // The vectors skip messages; each of ours must have been opened. hpke-js says what lies between.
      const published = new Map(vector.encryptions.map((message) => [message.seq, message]));
      for (const [seq, ciphertext] of (await ciphertexts(vector, 257)).entries()) {
        const { aad = AAD_PREFIX + hex(ascii(String(seq))), pt = vector.encryptions[0]!.pt, ct } =
          published.get(seq) ?? {};
        expect(ct ?? hex(ciphertext)).toBe(hex(ciphertext));
        expect(hex(context.open(bytes(aad), ciphertext)), `message ${seq}`).toBe(pt);
      }
    });

    for (const { kem, kemId, group } of KEMS) {
      test.each(AEADS)(`ech 1: $aead over ${kem} opens what hpke-js sealed`, async ({ aeadId }) => {
        const { privateKey, publicKey } = crypto.hpkeKeyPair(kemId);
        const recipient = crypto.hpkeRecipient(kemId, privateKey, INFO);
        expect(recipient.publicKey).toEqual(publicKey);
        const sender = await hpkeJsSender(kemId, aeadId, publicKey);
        const context = recipient.setup(aeadId, sender.enc)!;
        for (const length of [0, 1, 300]) {
          const plaintext = crypto.random(length);
          const aad = crypto.random(length * 2);
          expect(context.open(aad, await sender.seal(plaintext, aad))).toEqual(plaintext);
        }
      });

      test(`ech 1: ${kem} refuses an enc that is invalid, without throwing`, () => {
        const { privateKey, publicKey } = crypto.hpkeKeyPair(kemId);
        const recipient = crypto.hpkeRecipient(kemId, privateKey, INFO);
        const good = crypto.keyPair(group).share;
        expect(recipient.setup(AeadId.Aes128Gcm, good)).toBeDefined();
        const refused = [
          new Uint8Array(0),
          good.subarray(1),
          Uint8Array.of(...good, 0),
          new Uint8Array(publicKey.length), // all-zero result; not a point
          ...(group === "secp256r1" ? [Uint8Array.of(4, ...new Uint8Array(64).fill(1))] : []),
        ];
        expect(refused.map((enc) => recipient.setup(AeadId.Aes128Gcm, enc))).toEqual(
          refused.map(() => undefined),
        );
      });
    }

    test("ech 1: only success moves on to the next nonce", async () => {
      const { privateKey, publicKey } = crypto.hpkeKeyPair(0x0020);
      const sender = await hpkeJsSender(0x0020, 1, publicKey);
      const context = crypto.hpkeRecipient(0x0020, privateKey, INFO).setup(1, sender.enc)!;
      const aad = Uint8Array.of(1, 2, 3);
      const [first, second] = [await sender.seal(aad, aad), await sender.seal(INFO, aad)];
      expect(context.open(aad, second)).toBeUndefined();
      expect(context.open(aad.subarray(1), first)).toBeUndefined();
      expect(context.open(aad, first.subarray(0, 15))).toBeUndefined();
      expect(context.open(aad, first)).toEqual(aad);
      expect(context.open(aad, first)).toBeUndefined();
      expect(context.open(aad, second)).toEqual(INFO);
    });

    test("ech 1: contexts of one recipient do not disturb each other", async () => {
      const { privateKey, publicKey } = crypto.hpkeKeyPair(0x0020);
      const recipient = crypto.hpkeRecipient(0x0020, privateKey, INFO);
      const senders = await Promise.all(
        AEADS.map(({ aeadId }) => hpkeJsSender(0x0020, aeadId, publicKey)),
      );
      const contexts = senders.map(({ enc }, i) => recipient.setup(AEADS[i]!.aeadId, enc)!);
      for (let message = 0; message < 3; message++) {
        await openOnce(contexts, senders);
      }
    });

    test("ech 1: a wrong info, key or AEAD opens nothing", async () => {
      const { privateKey, publicKey } = crypto.hpkeKeyPair(0x0020);
      const other = crypto.hpkeKeyPair(0x0020);
      const sender = await hpkeJsSender(0x0020, 1, publicKey);
      const ciphertext = await sender.seal(INFO, INFO);
      const open = (key: Uint8Array, info: Uint8Array, aead: number): Uint8Array | undefined =>
        crypto.hpkeRecipient(0x0020, key, info).setup(aead, sender.enc)?.open(INFO, ciphertext);
      expect(open(privateKey, INFO, 1)).toEqual(INFO);
      expect(open(privateKey, INFO.subarray(1), 1)).toBeUndefined();
      expect(open(other.privateKey, INFO, 1)).toBeUndefined();
      expect(open(privateKey, INFO, 2)).toBeUndefined();
      expect(open(privateKey, INFO, 0xffff)).toBeUndefined(); // export-only
    });

    test("a KEM that is unknown or a key of another length is a RangeError", () => {
      expect(() => crypto.hpkeKeyPair(0x0021)).toThrow(RangeError);
      expect(() => crypto.hpkeRecipient(0x0012, new Uint8Array(32), INFO)).toThrow(RangeError);
      expect(() => crypto.hpkeRecipient(0x0020, new Uint8Array(31), INFO)).toThrow(RangeError);
      expect(() => crypto.hpkeRecipient(0x0010, new Uint8Array(33), INFO)).toThrow(RangeError);
      expect(() => crypto.hpkeRecipient(0x0010, new Uint8Array(32), INFO)).toThrow(RangeError);
    });
  });
}

const AAD_PREFIX = hex(ascii("Count-"))!;

function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

interface Sender {
  readonly enc: Uint8Array;
  seal(plaintext: Uint8Array, aad: Uint8Array): Promise<Uint8Array>;
}

async function hpkeJsSender(kem: KemId, aead: AeadId, publicKey: Uint8Array): Promise<Sender> {
  const suite = new CipherSuite({ kem, kdf: KdfId.HkdfSha256, aead });
  const recipientPublicKey = await suite.kem.deserializePublicKey(buffer(publicKey));
  const sender = await suite.createSenderContext({ recipientPublicKey, info: buffer(INFO) });
  return {
    enc: new Uint8Array(sender.enc),
    seal: async (plaintext, aad) =>
      new Uint8Array(await sender.seal(buffer(plaintext), buffer(aad))),
  };
}

/** The vector's first `count` messages: its plaintext under "Count-n", as RFC 9180 Appendix A has them. */
async function ciphertexts(vector: Vector, count: number): Promise<Uint8Array[]> {
  const sent = SENT.get(vector.aead_id) ?? sealAll(vector, count);
  SENT.set(vector.aead_id, sent);
  return await sent;
}

const SENT = new Map<AeadId, Promise<Uint8Array[]>>();

async function sealAll(vector: Vector, count: number): Promise<Uint8Array[]> {
  const suite = new CipherSuite({
    kem: vector.kem_id,
    kdf: KdfId.HkdfSha256,
    aead: vector.aead_id,
  });
  const { skEm, pkRm, info } = vector;
  const privateKey = await suite.kem.importKey("raw", buffer(bytes(skEm)), false);
  const publicKey = await suite.kem.importKey("raw", buffer(bytes(vector.enc)), true);
  const sender = await suite.createSenderContext({
    recipientPublicKey: await suite.kem.deserializePublicKey(buffer(bytes(pkRm))),
    info: buffer(bytes(info)),
    ekm: { privateKey, publicKey },
  });
  const sealed: Uint8Array[] = [];
  for (let seq = 0; seq < count; seq++) {
    const aad = buffer(ascii(`Count-${seq}`));
    sealed.push(new Uint8Array(await sender.seal(buffer(bytes(vector.encryptions[0]!.pt)), aad)));
  }
  return sealed;
}

async function openOnce(
  contexts: readonly HpkeContext[],
  senders: readonly Sender[],
): Promise<void> {
  for (const [i, context] of contexts.entries()) {
    expect(context.open(INFO, await senders[i]!.seal(INFO, INFO))).toEqual(INFO);
  }
}

function buffer(value: Uint8Array): ArrayBuffer {
  return value.slice().buffer as ArrayBuffer;
}
