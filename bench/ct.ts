/**
 * A smoke test of constant time: does it take as long with one secret as with another?
 *
 *     bun bench/ct.ts [part of an operation's name]
 *
 * Each operation has two classes of inputs, mostly one fixed secret against random ones, as many of either kind in
 * memory. Calls of both classes are mixed at random and timed one by one. The verdict rests on Welch's t over the faster
 * three quarters (slower ones are the machine's doing) and on the tenth percentiles: "differs" is |t| > 4.5 together
 * with 0.2 % and 50 ns between them. It can show a leak, never that there is none; and a busy machine shows less.
 *
 * @module
 */
import type { KeyObject } from "node:crypto";
import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import process from "node:process";
import { chooseCrypto } from "../src/crypto/choose.ts";
import type { Crypto, KeyPair, P256Numbers } from "../src/crypto/crypto.ts";
import { loadIpsecMb } from "../src/crypto/ipsec-mb.ts";
import { nativePrimitives } from "../src/crypto/native.ts";
import { loadOpenssl } from "../src/crypto/openssl.ts";
import type { Primitives } from "../src/crypto/primitives.ts";
import type { SignaturePrimitives, Signatures } from "../src/crypto/signing-key.ts";
import { loadWasmVariant, variants } from "../src/crypto/wasm-module.ts";
import { wasmPrimitives } from "../src/crypto/wasm.ts";

/** The code of both classes is one and the same: a compiler may treat two functions differently. */
interface Operation<Input = unknown> {
  readonly name: string;
  readonly classes: readonly [string, string];
  readonly inputs: readonly [readonly Input[], readonly Input[]];
  call(input: Input): unknown;
  /** Calls that are timed as one, where one is too short. */
  readonly batch: number;
}

/** What a provider has. Signatures that somebody else made are nobody's secret: verifying is not looked at. */
type Tested =
  & Partial<Omit<Primitives, keyof SignaturePrimitives>>
  & { readonly [Name in keyof SignaturePrimitives]?: Omit<Signatures, "verify"> };

interface Result {
  readonly samples: number;
  readonly p10: readonly [number, number];
  readonly t: number;
  readonly differs: boolean;
}

/** Inputs of each class. */
const POOL = 64;
const MAX_SAMPLES = 40_000;
const MILLIS = 2500;
const WARM_MILLIS = 400;

function operations(primitives: Tested, crypto: Crypto): Operation[] {
  return [
    ...agreements(primitives),
    ...signatures(primitives),
    ...onlySignatures(primitives),
    ...decapsulations(primitives),
    ...openings(primitives, crypto),
    ...comparisons(primitives, crypto),
  ].map((operation) => operation as Operation);
}

function agreements(primitives: Tested): Operation<KeyPair>[] {
  return (["x25519", "secp256r1", "secp384r1"] as const).flatMap((group) => {
    const dh = primitives[group];
    if (dh === undefined) return [];
    const privateKey = (): Uint8Array => {
      const key = randomBytes(group === "secp384r1" ? 48 : 32);
      key[0]! &= 0x7f; // below every order
      return key;
    };
    const fixed = privateKey();
    const peer = dh.fresh().share;
    return [{
      name: `${group}: agree`,
      classes: ["fixed key", "random keys"],
      inputs: [pool(() => dh.from(fixed)), pool(() => dh.from(privateKey()))],
      call: (own) => own.agree(peer),
      batch: 1,
    }];
  });
}

type Sign = ReturnType<Signatures["signer"]>;

function signatures(primitives: Tested): Operation<Sign>[] {
  const kinds = [
    ["ecdsa-p256", "ecdsa_secp256r1_sha256", () => ecKey("P-256")],
    ["ecdsa-p384", "ecdsa_secp384r1_sha384", () => ecKey("P-384")],
    ["ed25519", "ed25519", () => generateKeyPairSync("ed25519").privateKey],
  ] as const;
  return kinds.flatMap(([name, scheme, makeKey]) => {
    const provider = primitives[name];
    if (provider === undefined) return [];
    const content = randomBytes(130);
    const fixed = makeKey().export({ format: "pem", type: "pkcs8" });
    return [{
      name: `${name}: sign`,
      classes: ["fixed key", "random keys"],
      // Objects of their own for each, also of the same key: one alone would lie in the caches.
      inputs: [
        pool(() => provider.signer(createPrivateKey(fixed))),
        pool(() => provider.signer(makeKey())),
      ],
      call: (sign) => sign(scheme, content),
      batch: 1,
    }];
  });
}

/** With a scalar that is not made ready before. */
function onlySignatures({ "ecdsa-p256": ecdsa }: Tested): Operation<P256Numbers>[] {
  const signOnce = ecdsa?.signOnce;
  if (signOnce === undefined) return [];
  const content = randomBytes(130);
  const fixed = p256Numbers();
  const copy = () => ({ scalar: fixed.scalar.slice(), point: fixed.point.slice() });
  return [{
    name: "ecdsa-p256: sign once",
    classes: ["fixed key", "random keys"],
    inputs: [pool(copy), pool(p256Numbers)],
    call: (numbers) => signOnce(numbers, content),
    batch: 1,
  }];
}

function p256Numbers(): P256Numbers {
  const { d, x, y } = ecKey("P-256").export({ format: "jwk" });
  const [scalar, ...point] = [d, x, y].map((part) => Buffer.from(part!, "base64url"));
  return {
    scalar: new Uint8Array(scalar!),
    point: Uint8Array.from([4, ...point[0]!, ...point[1]!]),
  };
}

function ecKey(namedCurve: string): KeyObject {
  return generateKeyPairSync("ec", { namedCurve }).privateKey;
}

/** Of one key: its public half decides how often the matrix is sampled anew, and with it most of the time. */
function decapsulations({ "ML-KEM-768": kem }: Tested): Operation<Uint8Array>[] {
  if (kem === undefined) return [];
  const key = kem.fresh();
  const sealed = () => kem.encapsulate(key.encapsulationKey).ciphertext;
  const fixed = sealed();
  const wrong = (): Uint8Array => {
    const ciphertext = sealed();
    ciphertext[Math.floor(Math.random() * ciphertext.length)]! ^= 1;
    return ciphertext;
  };
  const common = {
    name: "ML-KEM-768: decapsulate",
    call: (ciphertext: Uint8Array) => key.decapsulate(ciphertext),
    batch: 1,
  };
  return [
    {
      ...common,
      classes: ["valid", "implicit rejection"],
      inputs: [pool(sealed), pool(wrong)],
    },
    {
      ...common,
      classes: ["fixed secret", "random secrets"],
      inputs: [pool(() => fixed.slice()), pool(sealed)],
    },
  ];
}

/** Where in the tag the first wrong byte is must not show. */
function openings(primitives: Tested, crypto: Crypto): Operation<Uint8Array>[] {
  return (["aes-gcm", "chacha20-poly1305"] as const).flatMap((name) => {
    const make = primitives[name];
    if (make === undefined) return [];
    const aead = make(randomBytes(32));
    const [nonce, aad, text] = [randomBytes(12), randomBytes(5), randomBytes(64)];
    const sealed = new Uint8Array(80);
    aead.seal(nonce, aad, text, sealed, 0);
    return [{
      name: `${name}: open, wrong tag`,
      classes: ["first byte", "last byte"],
      inputs: [pool(() => wrongAt(sealed, 64, crypto)), pool(() => wrongAt(sealed, 79, crypto))],
      call: (ciphertext) => aead.open(nonce, aad, ciphertext),
      batch: 4,
    }];
  });
}

/** Binders, Finished. */
function comparisons(
  { system }: Tested,
  crypto: Crypto,
): Operation<Uint8Array>[] {
  if (system === undefined) return [];
  const secret = crypto.random(32);
  return [{
    name: "equal: Finished, binder",
    classes: ["first byte", "last byte"],
    inputs: [pool(() => wrongAt(secret, 0, crypto)), pool(() => wrongAt(secret, 31, crypto))],
    call: (other) => system.equal(secret, other),
    batch: 50,
  }];
}

function wrongAt(bytes: Uint8Array, at: number, crypto: Crypto): Uint8Array {
  const wrong = bytes.slice();
  wrong[at]! ^= 1 + crypto.random(1)[0]! % 255;
  return wrong;
}

function measure(operation: Operation): Result {
  const { inputs, batch } = operation;
  const times: [number[], number[]] = [[], []];
  const sample = (which: 0 | 1): number => {
    const class_ = inputs[which];
    let index = Math.floor(Math.random() * POOL);
    const from = process.hrtime.bigint();
    for (let i = 0; i < batch; i++) {
      operation.call(class_[index]);
      index = (index + 1) % POOL;
    }
    return Number(process.hrtime.bigint() - from) / batch;
  };
  const coin = (): 0 | 1 => Math.random() < 0.5 ? 0 : 1;
  for (const end = performance.now() + WARM_MILLIS; performance.now() < end;) sample(coin());
  const end = performance.now() + MILLIS;
  for (let n = 0; n < MAX_SAMPLES && performance.now() < end; n++) {
    const which = coin();
    times[which].push(sample(which));
  }
  return judge(times);
}

function judge(times: readonly [number[], number[]]): Result {
  const all = [...times[0], ...times[1]].sort((a, b) => a - b);
  const limit = all[Math.floor(all.length * 0.75)]!;
  const [a, b] = times.map((class_) => moments(class_.filter((time) => time <= limit)));
  const t = (a!.mean - b!.mean) / Math.sqrt(a!.variance / a!.count + b!.variance / b!.count);
  const p10 = times.map((class_) => {
    const sorted = class_.toSorted((x, y) => x - y);
    return sorted[Math.floor(sorted.length / 10)]!;
  }) as [number, number];
  const apart = Math.abs(p10[0] - p10[1]);
  const differs = Math.abs(t) > 4.5 && apart > 0.002 * p10[0] && apart > MIN_APART_NS;
  return { samples: all.length, p10, t, differs };
}

/** Less than the clock tells. */
const MIN_APART_NS = 50;

function moments(values: readonly number[]) {
  const count = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (count - 1);
  return { count, mean, variance };
}

function pool<T>(make: () => T): T[] {
  return Array.from({ length: POOL }, make);
}

function randomBytes(length: number): Uint8Array {
  return globalThis.crypto.getRandomValues(new Uint8Array(length));
}

function row(cells: readonly string[]): string {
  const [name = "", provider = "", classes = "", ...figures] = cells;
  const padded = figures.map((figure) => figure.padStart(9));
  return `| ${[name.padEnd(33), provider.padEnd(8), classes.padEnd(29), ...padded].join(" | ")} |`;
}

function main(part: string): void {
  const crypto = chooseCrypto({ force: "native" });
  const providers: [string, Tested][] = [["native", nativePrimitives()]];
  for (const library of [loadOpenssl(), loadIpsecMb()]) {
    if (library !== undefined) providers.push([library.name.split(" ")[0]!, library.primitives]);
  }
  for (const variant of variants()) {
    providers.push([variant, wasmPrimitives(loadWasmVariant(variant))]);
  }
  console.log(row(["operation", "provider", "classes", "samples", "p10, µs", "apart, %", "t", ""]));
  console.log(row(["---", "---", "---", "---:", "---:", "---:", "---:", "---"]));
  for (const [provider, primitives] of providers) {
    for (const operation of operations(primitives, crypto)) {
      if (!operation.name.includes(part)) continue;
      const { samples, p10, t, differs } = measure(operation);
      const apart = 100 * (p10[1] / p10[0] - 1);
      const [micros, percent] = [(p10[0] / 1000).toFixed(2), apart.toFixed(2)];
      const classes = operation.classes.join(" / ");
      const verdict = differs ? "differs" : "";
      console.log(
        row([
          operation.name,
          provider,
          classes,
          `${samples}`,
          micros,
          percent,
          t.toFixed(1),
          verdict,
        ]),
      );
    }
  }
}

if (import.meta.main) main(process.argv[2] ?? "");
