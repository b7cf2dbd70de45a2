/**
 * What each primitive costs with each provider on this runtime: where the table in `src/crypto/choose.ts` comes from.
 *
 *     bun bench/crypto.bench.ts [part of a primitive's name]
 *
 * Before it is timed, each case runs until compilers are done with it, so a broken one throws. µs per operation, CPU time of
 * the process; every round times every cell (primitive × provider) once, in an order shuffled anew.
 *
 * @module
 */
import type { KeyObject } from "node:crypto";
import { generateKeyPairSync } from "node:crypto";
import process from "node:process";

import { chooseCrypto } from "../src/crypto/choose.ts";
import type { Crypto, Suite } from "../src/crypto/crypto.ts";
import { loadOpenssl } from "../src/crypto/openssl.ts";
import { loadWasmVariant, variants } from "../src/crypto/wasm-module.ts";
import type { BenchOptions } from "./options.ts";
import { inRounds } from "./rounds.ts";
import { type Estimate, estimate, shuffled } from "./statistics.ts";

export interface Row {
  readonly primitive: string;
  /** µs per operation by provider: "native", "wide", "narrow" (where the runtime runs them), "openssl", "noble", "chosen". */
  readonly micros: Readonly<Record<string, Estimate>>;
}

/** @param say progress, a line at a time */
export async function run(
  options: Pick<BenchOptions, "rounds" | "roundSeconds">,
  say: (line: string) => void,
  part = "",
): Promise<Row[]> {
  const keys = signingKeys();
  const providers = {
    native: casesOf(chooseCrypto({ force: "native" }), keys),
    ...Object.fromEntries(
      variants().map((variant) => {
        const module = loadWasmVariant(variant);
        return [variant, casesOf(chooseCrypto({ force: "wasm", module }), keys)];
      }),
    ),
    ...(loadOpenssl() && { openssl: casesOf(chooseCrypto({ force: "openssl" }), keys) }),
    noble: casesOf(chooseCrypto({ force: "noble" }), keys),
    chosen: casesOf(chooseCrypto(), keys),
  };
  const primitives = Object.keys(providers.chosen).filter((name) => name.includes(part));
  const cells: Cell[] = [];
  for (const [i, primitive] of primitives.entries()) {
    say(`warming up: ${primitive} (${i + 1} of ${primitives.length})`);
    for (const [provider, cases] of Object.entries(providers)) {
      cells.push(new Cell(primitive, provider, cases[primitive]!));
      await new Promise((resolve) => setTimeout(resolve)); // who wants to stop the bench is heard
    }
  }
  await inRounds(options, say, () => {
    for (const cell of shuffled(cells)) cell.measure();
  });
  return primitives.map((primitive) => ({
    primitive,
    micros: Object.fromEntries(
      cells.filter((cell) => cell.primitive === primitive)
        .map(({ provider, micros }) => [provider, estimate(micros)]),
    ),
  }));
}

/** One primitive by one provider. */
class Cell {
  readonly primitive: string;
  readonly provider: string;
  /** One per round. */
  readonly micros: number[] = [];
  readonly #operation: () => unknown;
  readonly #count: number;

  constructor(primitive: string, provider: string, operation: () => unknown) {
    this.primitive = primitive;
    this.provider = provider;
    this.#operation = operation;
    // Compilers take their time for the large functions of WebAssembly, in the background.
    const start = performance.now();
    for (let calls = 0; calls < WARM_CALLS && performance.now() - start < WARM_MS; calls++) {
      operation();
    }
    const from = performance.now();
    let probed = 0;
    do {
      operation();
      probed++;
    } while (performance.now() - from < ROUND_MS);
    this.#count = probed;
  }

  measure(): void {
    const before = process.cpuUsage();
    for (let i = 0; i < this.#count; i++) this.#operation();
    const { user, system } = process.cpuUsage(before);
    this.micros.push((user + system) / this.#count);
  }
}

const WARM_CALLS = 1000;
const WARM_MS = 250;
const ROUND_MS = 5;

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

export function table(rows: readonly Row[]): string {
  const names = Object.keys(rows[0]?.micros ?? {});
  const line = (first: string, cells: readonly string[]): string =>
    `| ${[first.padEnd(44), ...cells.map((cell) => cell.padStart(8))].join(" | ")} |`;
  return [
    line("µs", names),
    line("---", names.map(() => "---:")),
    ...rows.map(({ primitive, micros }) =>
      line(primitive, names.map((name) => micros[name]!.median.toFixed(2)))
    ),
  ].join("\n");
}

if (import.meta.main) {
  const options = { rounds: 30, roundSeconds: undefined };
  console.log(table(await run(options, (line) => console.error(line), process.argv[2])));
}
