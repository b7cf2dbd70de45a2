/**
 * What each primitive costs with each provider on this runtime: where the table in `src/crypto/choose.ts` comes from.
 *
 *     bun bench/crypto.bench.ts [part of a primitive's name]
 *
 * Before it is timed, each case runs once, so a broken one throws. µs per operation, the best of several rounds:
 * a busy machine only ever makes things slower.
 *
 * @module
 */
import type { KeyObject } from "node:crypto";
import { generateKeyPairSync } from "node:crypto";
import { chooseCrypto } from "../src/crypto/choose.ts";
import type { Crypto, Suite } from "../src/crypto/crypto.ts";
import { loadWasmVariant, variants } from "../src/crypto/wasm-module.ts";

export interface Row {
  readonly primitive: string;
  /** µs per operation by provider: "native", "wide", "narrow" (where the runtime runs them), "noble", "chosen". */
  readonly micros: Readonly<Record<string, number>>;
}

/** @param millis about how long each cell is measured */
export async function run(millis = 30, part = ""): Promise<Row[]> {
  const keys = signingKeys();
  const providers = {
    native: casesOf(chooseCrypto({ force: "native" }), keys),
    ...Object.fromEntries(
      variants().map((variant) => {
        const module = loadWasmVariant(variant);
        return [variant, casesOf(chooseCrypto({ force: "wasm", module }), keys)];
      }),
    ),
    noble: casesOf(chooseCrypto({ force: "noble" }), keys),
    chosen: casesOf(chooseCrypto(), keys),
  };
  const rows: Row[] = [];
  for (const primitive of Object.keys(providers.chosen)) {
    if (!primitive.includes(part)) continue;
    const micros: Record<string, number> = {};
    for (const [name, cases] of Object.entries(providers)) {
      micros[name] = measure(cases[primitive]!, millis);
      await new Promise((resolve) => setTimeout(resolve)); // a server beside it would want to live
    }
    rows.push({ primitive, micros });
  }
  return rows;
}

const SHA256_SUITE: Suite = { aead: "aes-128-gcm", hash: "sha256", keyLength: 16, hashLength: 32 };
const SHA384_SUITE: Suite = { aead: "aes-256-gcm", hash: "sha384", keyLength: 32, hashLength: 48 };

function casesOf(
  crypto: Crypto,
  keys: Readonly<Record<string, string>>,
): Record<string, () => unknown> {
  const content = crypto.random(130);
  const cases: Record<string, () => unknown> = {
    "random 32 B": () => crypto.random(32),
    "SHA-256, 64 B": () => crypto.digest("sha256", content.subarray(0, 64)),
    "SHA-256, 16 KiB": (() => {
      const bytes = crypto.random(16_384);
      return () => crypto.digest("sha256", bytes);
    })(),
    "SHA-384, 64 B": () => crypto.digest("sha384", content.subarray(0, 64)),
    "running SHA-256: 512 B, digest": runningHash(crypto),
    "HMAC-SHA256, 64 B": () =>
      crypto.hmac("sha256", content.subarray(0, 32), content.subarray(0, 64)),
    "HMAC-SHA384, 64 B": () =>
      crypto.hmac("sha384", content.subarray(0, 48), content.subarray(0, 64)),
    "schedule, handshake + application, SHA-256": schedule(crypto, SHA256_SUITE),
    "schedule, handshake + application, SHA-384": schedule(crypto, SHA384_SUITE),
  };
  for (const name of ["aes-128-gcm", "aes-256-gcm", "chacha20-poly1305"] as const) {
    for (const size of [64, 1400, 16_384]) addAead(cases, crypto, name, size);
  }
  for (const group of ["x25519", "secp256r1", "secp384r1", "X25519MLKEM768"] as const) {
    const { share } = crypto.keyPair(group);
    cases[`${group}: answerShare`] = () => defined(crypto.answerShare(group, share));
  }
  for (const [name, pem] of Object.entries(keys)) {
    const key = crypto.signingKey(pem);
    const scheme = key.schemes[0]!;
    const signature = key.sign(scheme, content);
    cases[`${name}: sign`] = () => key.sign(scheme, content);
    cases[`${name}: verify`] = () =>
      defined(crypto.verify(scheme, key.spki, content, signature) || undefined);
  }
  addHpke(cases, crypto);
  return cases;
}

function runningHash(crypto: Crypto): () => unknown {
  const bytes = crypto.random(512);
  return () => {
    const hash = crypto.hash("sha256");
    hash.update(bytes);
    return hash.digest();
  };
}

function schedule(crypto: Crypto, suite: Suite): () => unknown {
  const { schedule } = crypto;
  const shared = crypto.random(32);
  const hash = crypto.random(suite.hashLength);
  return () => {
    const { main } = schedule.handshake(suite, undefined, shared, hash);
    return schedule.application(suite, main, hash);
  };
}

function addAead(
  cases: Record<string, () => unknown>,
  crypto: Crypto,
  name: "aes-128-gcm" | "aes-256-gcm" | "chacha20-poly1305",
  size: number,
): void {
  const aead = crypto.aead(name, crypto.random(name === "aes-128-gcm" ? 16 : 32));
  const nonce = crypto.random(12);
  const header = crypto.random(5);
  const plaintext = crypto.random(size);
  const sealed = new Uint8Array(size + 16);
  aead.seal(nonce, header, plaintext, sealed, 0);
  const record = sealed.slice();
  cases[`${name}: seal ${size} B`] = () => aead.seal(nonce, header, plaintext, sealed, 0);
  cases[`${name}: open ${size} B`] = () => defined(aead.open(nonce, header, record));
}

/** As for an accepted ECH with X25519 and AES-128-GCM. A wrong tag costs the same up to the last step. */
function addHpke(cases: Record<string, () => unknown>, crypto: Crypto): void {
  for (
    const [name, kem, group] of [["X25519", 0x20, "x25519"], ["P-256", 0x10, "secp256r1"]] as const
  ) {
    const recipient = crypto.hpkeRecipient(
      kem,
      crypto.hpkeKeyPair(kem).privateKey,
      crypto.random(74),
    );
    const enc = crypto.keyPair(group).share;
    const ciphertext = crypto.random(400);
    const aad = crypto.random(600);
    cases[`HPKE ${name}: setup + open 400 B`] = () =>
      defined(recipient.setup(1, enc)).open(aad, ciphertext);
  }
}

function signingKeys(): Record<string, string> {
  const pem = ({ privateKey }: { privateKey: KeyObject }): string =>
    privateKey.export({ format: "pem", type: "pkcs8" }) as string;
  return {
    "ECDSA P-256": pem(generateKeyPairSync("ec", { namedCurve: "P-256" })),
    "ECDSA P-384": pem(generateKeyPairSync("ec", { namedCurve: "P-384" })),
    "Ed25519": pem(generateKeyPairSync("ed25519")),
    "RSA-2048 PSS": pem(generateKeyPairSync("rsa", { modulusLength: 2048 })),
  };
}

function defined<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("A case of the bench does not work");
  return value;
}

function measure(operation: () => unknown, millis: number): number {
  // Compilers take their time for the large functions of WebAssembly, in the background.
  const start = performance.now();
  for (let calls = 0; calls < WARM_CALLS && performance.now() - start < WARM_MILLIS; calls++) {
    operation();
  }
  const from = performance.now();
  let probed = 0;
  while (performance.now() - from < millis / 2) {
    operation();
    probed++;
  }
  const perRound = Math.max(1, Math.floor(probed / ROUNDS));
  let best = Infinity;
  for (let round = 0; round < 2 * ROUNDS; round++) {
    const from = performance.now();
    for (let i = 0; i < perRound; i++) operation();
    best = Math.min(best, (performance.now() - from) / perRound);
  }
  return best * 1000;
}

const WARM_CALLS = 1000;
const WARM_MILLIS = 250;
const ROUNDS = 5;

export function table(rows: readonly Row[]): string {
  const names = Object.keys(rows[0]?.micros ?? {});
  const line = (first: string, cells: readonly string[]): string =>
    `| ${[first.padEnd(44), ...cells.map((cell) => cell.padStart(8))].join(" | ")} |`;
  return [
    line("µs", names),
    line("---", names.map(() => "---:")),
    ...rows.map(({ primitive, micros }) =>
      line(primitive, names.map((name) => micros[name]!.toFixed(2)))
    ),
  ].join("\n");
}

if (import.meta.main) console.log(table(await run(undefined, process.argv[2])));
