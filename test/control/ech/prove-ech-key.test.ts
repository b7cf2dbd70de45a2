import { expect, test } from "vitest";
import { generateEchKey } from "../../../src/control/ech/ech-keys.ts";
import { proveEchKey } from "../../../src/control/ech/prove-ech-key.ts";
import { chooseCrypto } from "../../../src/crypto/choose.ts";
import type { Crypto, HpkeContext } from "../../../src/crypto/crypto.ts";
import { echConfig } from "../../support/ech-sender.ts";

const crypto = chooseCrypto();
const record = generateEchKey(crypto, {
  publicName: "public.example",
  maximumNameLength: 0,
  knownIds: new Set(),
  nowMs: 0,
});

/** Our crypto, whose HPKE does `setup` for one AEAD. */
function withSetup(
  wrong: number,
  setup: (right: HpkeContext) => HpkeContext | undefined,
): Pick<Crypto, "equal" | "hpkeRecipient"> {
  return {
    equal: (a, b) => crypto.equal(a, b),
    hpkeRecipient(kem, privateKey, info) {
      const right = crypto.hpkeRecipient(kem, privateKey, info);
      return {
        publicKey: right.publicKey,
        setup(aead, enc) {
          const context = right.setup(aead, enc)!;
          return aead === wrong ? setup(context) : context;
        },
      };
    },
  };
}

test("ech-publication 1.7: a good key proves itself", async () => {
  await proveEchKey(crypto, record);
});

test("ech-publication 1.7: a P-256 key proves itself", async () => {
  const { privateKey, publicKey } = crypto.hpkeKeyPair(0x0010);
  const config = echConfig({ configId: 1, kemId: 0x0010, publicKey });
  await proveEchKey(crypto, { ...record, privateKey, config });
});

test("ech-publication 1.7: a key is refused if one of its suites does not open", async () => {
  for (const aeadId of [1, 2, 3]) {
    const message = `suite 1/${aeadId} does not open`;
    await expect(proveEchKey(withSetup(aeadId, () => undefined), record)).rejects.toThrow(message);
    const closed = withSetup(
      aeadId,
      (right) => ({ sharedSecret: right.sharedSecret, open: () => undefined }),
    );
    await expect(proveEchKey(closed, record)).rejects.toThrow(message);
    const other = withSetup(
      aeadId,
      (right) => ({ sharedSecret: right.sharedSecret, open: () => new Uint8Array(23) }),
    );
    await expect(proveEchKey(other, record)).rejects.toThrow(message);
  }
});
