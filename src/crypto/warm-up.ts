/**
 * Runs what a handshake needs until it is compiled, so that the first clients do not pay for tables and compilers: 50 ms
 * for the first P-256 signature in WebAssembly, 10 ms for the first X25519MLKEM768, milliseconds again and again within
 * the first hundred calls. To be called before connections are accepted.
 *
 * @module
 */
import { generateKeyPairSync } from "node:crypto";
import type { AeadName, Crypto, GroupName, HashName } from "./crypto.ts";

/** Takes up to a quarter of a second: each step is repeated until it has had its share of calls or of time. */
export function warmUp(crypto: Crypto): void {
  for (const step of steps(crypto)) {
    const end = performance.now() + STEP_MS;
    for (let call = 0; call < STEP_CALLS && performance.now() < end; call++) step();
  }
}

const STEP_CALLS = 100;
const STEP_MS = 20;

function steps(crypto: Crypto): (() => unknown)[] {
  const { privateKey, publicKey } = crypto.hpkeKeyPair(KEM_X25519);
  const recipient = crypto.hpkeRecipient(KEM_X25519, privateKey, publicKey);
  const enc = crypto.keyPair("x25519").share;
  return [
    ...HASHES.map((hash) => () => warmSchedule(crypto, hash)),
    ...GROUPS.map((group) => {
      const { share } = crypto.keyPair(group);
      return () => crypto.answerShare(group, share);
    }),
    ...AEADS.map((name) => () => warmAead(crypto, name)),
    ...CURVES.map((namedCurve) => {
      const pair = generateKeyPairSync("ec", { namedCurve });
      const key = crypto.signingKey(
        pair.privateKey.export({ format: "pem", type: "pkcs8" }) as string,
      );
      return () => key.sign(key.schemes[0]!, enc);
    }),
    () => crypto.signOnce?.(SOME_KEY, enc),
    () => recipient.setup(1, enc),
  ];
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

const SOME_KEY = { scalar: new Uint8Array(32).fill(1), point: new Uint8Array(65) };
const KEM_X25519 = 0x0020;
/** Those that clients offer at once; P-384 is rare and slow, as a group and as a key. */
const CURVES = ["P-256"] as const;
const GROUPS = ["x25519", "secp256r1", "X25519MLKEM768"] as const satisfies readonly GroupName[];
const HASHES = ["sha256", "sha384"] as const satisfies readonly HashName[];
const AEADS = [
  "aes-128-gcm",
  "aes-256-gcm",
  "chacha20-poly1305",
] as const satisfies readonly AeadName[];
