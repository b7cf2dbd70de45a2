/**
 * Trying a new ECH key before any client does (ech-publication §1.7).
 * @module
 */
import type { Crypto } from "../../crypto/crypto.ts";
import { echKey } from "../../tls/ech.ts";
import type { EchKeyRecord } from "./ech-keys.ts";

/**
 * Seals to the published config as a client would, with another implementation of HPKE, and opens with ours: once per
 * suite. A key that does not open would cost every client a second connection for as long as DNS has it cached.
 *
 * @throws {Error} what was sealed does not open
 * @throws {RangeError} as `echKey` does
 */
export async function proveEchKey(
  crypto: Pick<Crypto, "equal" | "hpkeRecipient">,
  record: EchKeyRecord,
): Promise<void> {
  const { config, recipient } = echKey(crypto, record);
  const { CipherSuite } = await import("hpke-js"); // wanted once per rotation, not at every start
  const info = new Uint8Array([...new TextEncoder().encode("tls ech\0"), ...config.raw]);
  const aad = new TextEncoder().encode("ClientHelloOuterAAD");
  const text = new TextEncoder().encode("EncodedClientHelloInner");
  for (const { kdfId, aeadId } of config.suites) {
    // The library's types are its own constants; `echKey` has seen to it that the numbers are among them.
    const ids = { kem: config.kemId as 0x20, kdf: kdfId as 1, aead: aeadId as 1 };
    const suite = new CipherSuite(ids);
    const sender = await suite.createSenderContext({
      recipientPublicKey: await suite.importKey("raw", config.publicKey.slice().buffer, true),
      info: info.buffer,
    });
    const sealed = new Uint8Array(await sender.seal(text.buffer, aad.buffer));
    const opened = recipient.setup(aeadId, new Uint8Array(sender.enc))?.open(aad, sealed);
    if (opened === undefined || !crypto.equal(opened, text)) {
      throw new Error(`Cannot use a new ECH key: suite ${kdfId}/${aeadId} does not open`);
    }
  }
}
