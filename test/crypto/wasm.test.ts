/** What WebAssembly has of its own: memory that is wiped, grows and is shared by all; the two variants. */
import { generateKeyPairSync } from "node:crypto";
import { describe, expect, test } from "vitest";
import { chooseCrypto } from "../../src/crypto/choose.ts";
import { loadWasm, loadWasmVariant, variants } from "../../src/crypto/wasm-module.ts";
import { wasmPrimitives } from "../../src/crypto/wasm.ts";
import { SUITES } from "./providers.ts";

const noble = chooseCrypto({ force: "noble" });

test("the runtime's variants are those it validates, wide first, and one module is shared", () => {
  const wide = process.versions["bun"] !== undefined || isDenoWithFlag();
  expect(variants()).toEqual(wide ? ["wide", "narrow"] : ["narrow"]);
  expect(loadWasm()!.variant).toBe(variants()[0]);
  expect(loadWasm()).toBe(loadWasm());
});

describe.each(variants())("%s", (variant) => {
  const module = loadWasmVariant(variant);
  const crypto = chooseCrypto({ force: "wasm", module });
  const { memory } = module;
  const area = () => memory.bytes.subarray(memory.start);
  const isWiped = () => area().every((byte) => byte === 0);

  test("issue 5: no call leaves anything in the area, whether it succeeds or not", () => {
    const left: string[] = [];
    for (const [name, call] of Object.entries(calls())) {
      call();
      if (!isWiped()) left.push(name);
      area().fill(0);
    }
    expect(left).toEqual([]);
  });

  function calls(): Record<string, () => unknown> {
    const bytes = noble.random(200);
    const suite = SUITES.TLS_AES_256_GCM_SHA384;
    const hash48 = bytes.subarray(0, 48);
    const hpke = crypto.hpkeKeyPair(0x20);
    const recipient = crypto.hpkeRecipient(0x20, hpke.privateKey, bytes);
    const aead = crypto.aead("chacha20-poly1305", bytes.subarray(0, 32));
    const sealed = new Uint8Array(216);
    aead.seal(bytes.subarray(0, 12), bytes, bytes, sealed, 0);
    const calls: Record<string, () => unknown> = {
      digest: () => crypto.digest("sha256", bytes),
      "running hash": () => {
        const hash = crypto.hash("sha384");
        hash.update(bytes);
        hash.clone().digest();
      },
      hmac: () => crypto.hmac("sha384", bytes, bytes),
      seal: () => aead.seal(bytes.subarray(0, 12), bytes, bytes, new Uint8Array(216), 0),
      open: () => expect(aead.open(bytes.subarray(0, 12), bytes, sealed)).toEqual(bytes),
      "open, wrong": () => expect(aead.open(bytes.subarray(1, 13), bytes, sealed)).toBe(undefined),
      handshake: () => crypto.schedule.handshake(suite, hash48, bytes, hash48),
      application: () => crypto.schedule.application(suite, hash48, hash48),
      "hpke setup": () => recipient.setup(1, crypto.keyPair("x25519").share),
      "hpke setup, wrong": () => expect(recipient.setup(1, new Uint8Array(32))).toBe(undefined),
    };
    for (const group of ["x25519", "secp256r1", "secp384r1", "X25519MLKEM768"] as const) {
      const theirs = noble.keyPair(group);
      const pair = crypto.keyPair(group);
      const { share } = noble.answerShare(group, pair.share)!;
      const zeros = new Uint8Array(theirs.share.length);
      calls[`${group} answer`] = () => crypto.answerShare(group, theirs.share);
      calls[`${group} answer, wrong`] = () =>
        expect(crypto.answerShare(group, zeros)).toBeUndefined();
      calls[`${group} key pair`] = () => crypto.keyPair(group);
      calls[`${group} agree`] = () => pair.agree(share);
    }
    for (const pem of signingKeys()) {
      const key = crypto.signingKey(pem);
      const scheme = key.schemes[0]!;
      const signature = key.sign(scheme, bytes);
      calls[`${scheme} key`] = () => crypto.signingKey(pem);
      calls[`${scheme} sign`] = () => key.sign(scheme, bytes);
      calls[`${scheme} verify`] = () => crypto.verify(scheme, key.spki, bytes, signature);
      calls[`${scheme} verify, wrong`] = () => crypto.verify(scheme, key.spki, signature, bytes);
    }
    return calls;
  }

  test("issue 5: longer texts than any before make the memory grow, and what was made before it works on", () => {
    const aead = crypto.aead("chacha20-poly1305", new Uint8Array(32));
    const oracle = noble.aead("chacha20-poly1305", new Uint8Array(32));
    const nonce = new Uint8Array(12);
    for (const length of [100_000, 10, 1_000_000]) {
      const text = noble.random(1000);
      const long = Uint8Array.from({ length }, (_, i) => text[i % 1000]!);
      const sealed = new Uint8Array(length + 16);
      aead.seal(nonce, text, long, sealed, 0);
      expect(Buffer.compare(oracle.open(nonce, text, sealed)!, long)).toBe(0);
      expect(Buffer.compare(aead.open(nonce, text, sealed)!, long)).toBe(0);
      expect(crypto.hmac("sha256", text, long)).toEqual(noble.hmac("sha256", text, long));
      for (const hash of ["sha256", "sha384"] as const) {
        expect(crypto.digest(hash, long)).toEqual(noble.digest(hash, long));
      }
    }
    const pages = memory.bytes.length;
    crypto.digest("sha256", new Uint8Array(5_000_000));
    expect(memory.bytes.length).toBe(pages);
  });

  test("issue 5: ECDSA is hedged: the same text has another signature each time", () => {
    for (const pem of signingKeys().slice(0, 2)) {
      const key = crypto.signingKey(pem);
      const [a, b] = [0, 1].map(() => key.sign(key.schemes[0]!, key.spki));
      expect(a).not.toEqual(b);
    }
  });

  test("issue 5: what has another length than ML-KEM-768's, or is not reduced, is a RangeError", () => {
    const kem = wasmPrimitives(module)["ML-KEM-768"];
    const key = kem.fresh();
    for (const length of [0, 1183, 1185]) {
      expect(() => kem.encapsulate(new Uint8Array(length))).toThrow(RangeError);
    }
    expect(() => kem.encapsulate(new Uint8Array(1184).fill(0xff))).toThrow(RangeError);
    expect(() => kem.encapsulate(key.encapsulationKey, new Uint8Array(31))).toThrow(RangeError);
    expect(() => kem.from(new Uint8Array(63))).toThrow(RangeError);
    expect(() => key.decapsulate(new Uint8Array(1087))).toThrow(RangeError);
  });

  test("a nonce or secret of another length is a RangeError", () => {
    const aead = crypto.aead("chacha20-poly1305", new Uint8Array(32));
    const [none, text] = [new Uint8Array(0), new Uint8Array(17)];
    expect(() => aead.open(new Uint8Array(11), none, text)).toThrow(RangeError);
    const suite = SUITES.TLS_AES_128_GCM_SHA256;
    const [right, wrong] = [new Uint8Array(32), new Uint8Array(33)];
    expect(() => crypto.schedule.handshake(suite, wrong, right, right)).toThrow(RangeError);
    expect(() => crypto.schedule.application(suite, wrong, right)).toThrow(RangeError);
  });
});

function signingKeys(): string[] {
  return [
    generateKeyPairSync("ec", { namedCurve: "P-256" }),
    generateKeyPairSync("ec", { namedCurve: "P-384" }),
    generateKeyPairSync("ed25519"),
  ].map(({ privateKey }) => privateKey.export({ format: "pem", type: "pkcs8" }) as string);
}

function isDenoWithFlag(): boolean {
  const flags = process.env["DENO_V8_FLAGS"] ?? "";
  return process.versions["deno"] !== undefined && flags.includes("wasm-wide-arithmetic");
}
