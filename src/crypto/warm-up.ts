/**
 * Runs what a handshake needs a few times, so that the first clients do not pay for tables and compilation: 25 ms for the
 * first P-256 signature on Deno, 9 ms for the first X25519MLKEM768 on Bun. To be called before connections are accepted.
 *
 * Signatures are warmed where keys are made ready: `signingKey` builds the tables that its provider has.
 *
 * @module
 */
import type { AeadName, Crypto, GroupName, HashName } from "./crypto.ts";

export function warmUp(crypto: Crypto): void {
  for (let round = 0; round < ROUNDS; round++) {
    for (const group of GROUPS) {
      const pair = crypto.keyPair(group);
      crypto.answerShare(group, pair.share);
    }
    for (const hash of HASHES) warmSchedule(crypto, hash);
    for (const name of AEADS) warmAead(crypto, name);
  }
  const { privateKey, publicKey } = crypto.hpkeKeyPair(KEM_X25519);
  crypto.hpkeRecipient(KEM_X25519, privateKey, publicKey).setup(1, crypto.keyPair("x25519").share);
}

function warmSchedule(crypto: Crypto, hash: HashName): void {
  const transcript = crypto.hash(hash);
  transcript.update(crypto.random(512));
  const helloHash = transcript.digest();
  const suite = hash === "sha256"
    ? { aead: "aes-128-gcm", hash, keyLength: 16, hashLength: 32 } as const
    : { aead: "aes-256-gcm", hash, keyLength: 32, hashLength: 48 } as const;
  const { main } = crypto.schedule.handshake(suite, undefined, helloHash, helloHash);
  crypto.schedule.application(suite, main, helloHash);
}

function warmAead(crypto: Crypto, name: AeadName): void {
  const aead = crypto.aead(name, crypto.random(name === "aes-128-gcm" ? 16 : 32));
  const [nonce, header, record] = [crypto.random(12), crypto.random(5), new Uint8Array(1024 + 16)];
  aead.seal(nonce, header, record.subarray(0, 1024), record, 0);
  aead.open(nonce, header, record);
}

const ROUNDS = 8;
const KEM_X25519 = 0x0020;
/** Those that clients offer at once; P-384 is rare and slow. */
const GROUPS = ["x25519", "secp256r1", "X25519MLKEM768"] as const satisfies readonly GroupName[];
const HASHES = ["sha256", "sha384"] as const satisfies readonly HashName[];
const AEADS = [
  "aes-128-gcm",
  "aes-256-gcm",
  "chacha20-poly1305",
] as const satisfies readonly AeadName[];
