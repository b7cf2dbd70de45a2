/**
 * SHA-256, SHA-384 and HMAC in WebAssembly.
 *
 * @module
 */
import type { HashName, RunningHash } from "./crypto.ts";
import type { Hash, Hmac } from "./primitives.ts";
import type { WasmMemory } from "./wasm-memory.ts";
import type { WasmFunctions, WasmModule } from "./wasm-module.ts";

export function wasmHash({ functions, memory }: WasmModule): Hash {
  const forms = {
    sha256: new HashForm("sha256", 32, functions, memory),
    sha384: new HashForm("sha384", 48, functions, memory),
  };
  return {
    digest: (hash, bytes) => forms[hash].digest(bytes),
    running: (hash) => new WasmRunningHash(forms[hash], forms[hash].fresh),
  };
}

/** One hash. In the area: the digest or state, behind it the text. */
class HashForm {
  readonly #name: HashName;
  readonly #length: number;
  readonly #functions: WasmFunctions;
  readonly #memory: WasmMemory;
  readonly #textAt: number;
  /** The state of a hash of nothing. */
  readonly fresh: Uint8Array;

  constructor(name: HashName, length: number, functions: WasmFunctions, memory: WasmMemory) {
    this.#name = name;
    this.#length = length;
    this.#functions = functions;
    this.#memory = memory;
    const stateLength = functions[`${name}_state_length`]();
    this.#textAt = memory.start + stateLength;
    functions[`${name}_start`](memory.start);
    this.fresh = memory.read(memory.start, stateLength);
    memory.wipe(this.#textAt);
  }

  digest(text: Uint8Array): Uint8Array {
    if (text.length > LONGEST_PIECE) return this.digestOf(this.updated(this.fresh, text));
    const { start, bytes } = this.#memory;
    bytes.set(text, this.#textAt);
    this.#functions[this.#name](this.#textAt, text.length, start);
    return this.#take(this.#textAt + text.length);
  }

  /** The state with `text` behind what it has seen. */
  updated(state: Uint8Array, text: Uint8Array): Uint8Array {
    const { start, bytes } = this.#memory;
    bytes.set(state, start);
    let end = this.#textAt;
    for (let from = 0; from < text.length; from += LONGEST_PIECE) {
      const length = Math.min(text.length - from, LONGEST_PIECE);
      bytes.set(length === text.length ? text : text.subarray(from, from + length), this.#textAt);
      this.#functions[`${this.#name}_update`](start, this.#textAt, length);
      end = Math.max(end, this.#textAt + length);
    }
    const next = this.#memory.read(start, state.length);
    this.#memory.wipe(end);
    return next;
  }

  digestOf(state: Uint8Array): Uint8Array {
    const { start, bytes } = this.#memory;
    bytes.set(state, start);
    this.#functions[`${this.#name}_digest`](start, this.#textAt);
    const digest = this.#memory.read(this.#textAt, this.#length);
    this.#memory.wipe(this.#textAt + this.#length);
    return digest;
  }

  #take(end: number): Uint8Array {
    const digest = this.#memory.read(this.#memory.start, this.#length);
    this.#memory.wipe(end);
    return digest;
  }
}

/** Its state is a hundred or two bytes out here, so that no hash that is dropped leaves anything in there. */
class WasmRunningHash implements RunningHash {
  readonly #form: HashForm;
  #state: Uint8Array;

  constructor(form: HashForm, state: Uint8Array) {
    this.#form = form;
    this.#state = state;
  }

  update(bytes: Uint8Array): void {
    this.#state = this.#form.updated(this.#state, bytes);
  }

  digest(): Uint8Array {
    return this.#form.digestOf(this.#state);
  }

  clone(): RunningHash {
    return new WasmRunningHash(this.#form, this.#state);
  }
}

export function wasmHmac({ functions, memory }: WasmModule): Hmac {
  const { start } = memory;
  return (hash, key, text) => {
    const keyAt = start + MAC_ROOM;
    const textAt = keyAt + key.length;
    const end = textAt + text.length;
    memory.reserve(end - start);
    memory.bytes.set(key, keyAt);
    memory.bytes.set(text, textAt);
    const [hmac, length] = hash === "sha256"
      ? [functions.hmac_sha256, 32] as const
      : [functions.hmac_sha384, 48] as const;
    hmac(keyAt, key.length, textAt, text.length, start);
    const mac = memory.read(start, length);
    memory.wipe(end);
    return mac;
  };
}

/** Longer texts are hashed in pieces, so that the memory does not grow with them. */
const LONGEST_PIECE = 65_536;
const MAC_ROOM = 48;
