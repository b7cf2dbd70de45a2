/**
 * SHA-256 and its HMAC of OpenSSL, by the functions that look for no algorithm by name: SHA256() takes 0.4 µs for that.
 *
 * One hash alone: V8 makes quick calls where it knows which function is called, and code that has called SHA-384's too
 * does not tell.
 *
 * @module
 */
import type { RunningHash } from "./crypto.ts";
import { size } from "./foreign.ts";
import { HmacForm, type OneShot } from "./hmac-form.ts";
import type { Libcrypto, LibcryptoFunctions } from "./libcrypto.ts";
import { done } from "./openssl-result.ts";
import type { Hash, Hmac } from "./primitives.ts";
import { smallArray } from "./small-array.ts";

export class OpensslSha256 implements OneShot {
  readonly #functions: LibcryptoFunctions;

  constructor({ functions }: Libcrypto) {
    this.#functions = functions;
  }

  /** This one in the place of others' SHA-256. */
  among(others: { readonly hash: Hash; readonly hmac: Hmac }): {
    readonly hash: Hash;
    readonly hmac: Hmac;
  } {
    const { digest, running } = others.hash;
    const form = new HmacForm(this, "sha256");
    return {
      hash: {
        digest: (hash, bytes) =>
          hash === "sha256" ? this.hash(bytes, smallArray(LENGTH)) : digest(hash, bytes),
        running: (hash) =>
          hash === "sha256" ? new OpensslRunningHash(this, this.fresh()) : running(hash),
      },
      hmac: (hash, key, text) =>
        hash === "sha256" ? form.mac(key, text) : others.hmac(hash, key, text),
    };
  }

  /** @throws {RangeError} no room for it */
  hash(input: Uint8Array, into: Uint8Array): Uint8Array {
    done(this.#functions.SHA256_Init(scratch));
    this.update(scratch, input);
    return this.final(scratch, into);
  }

  /** The state of a hash of nothing. */
  fresh(): Uint8Array {
    const context = newContext();
    done(this.#functions.SHA256_Init(context));
    return context;
  }

  update(context: Uint8Array, bytes: Uint8Array): void {
    done(this.#functions.SHA256_Update(context, bytes, size(bytes.length)));
  }

  /** The hash; `context` is of no use any more. */
  final(context: Uint8Array, into: Uint8Array): Uint8Array {
    if (into.length < LENGTH) throw new RangeError("Cannot hash: no room for it");
    done(this.#functions.SHA256_Final(into, context));
    return into;
  }
}

/** Its state lies out here: nothing of OpenSSL's has to be given back. */
class OpensslRunningHash implements RunningHash {
  readonly #sha256: OpensslSha256;
  readonly #context: Uint8Array;

  constructor(sha256: OpensslSha256, context: Uint8Array) {
    this.#sha256 = sha256;
    this.#context = context;
  }

  update(bytes: Uint8Array): void {
    this.#sha256.update(this.#context, bytes);
  }

  digest(): Uint8Array {
    scratch.set(this.#context);
    return this.#sha256.final(scratch, smallArray(LENGTH));
  }

  clone(): RunningHash {
    const context = newContext();
    context.set(this.#context);
    return new OpensslRunningHash(this.#sha256, context);
  }
}

function newContext(): Uint8Array {
  return new Uint8Array(CONTEXT_LENGTH);
}

const LENGTH = 32;
/** SHA256_CTX, as it has been since OpenSSL 0.9.8. */
const CONTEXT_LENGTH = 112;
/** Used within one call. */
const scratch = newContext();
