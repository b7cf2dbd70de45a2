/**
 * AES-GCM of libIPSec_MB.
 *
 * A key is expanded once for the texts that follow one another under it, into one place for each cipher and direction: an
 * idle connection holds nothing but its key, and expanding takes 0.1 µs.
 *
 * @module
 */
import type { Aead, AeadName } from "./crypto.ts";
import {
  appendTag,
  checkAnswers,
  checkKey,
  checkNonce,
  checkRoom,
  roomFor,
  TAG_LENGTH,
} from "./foreign-aead.ts";

/** Of one length of keys. Expanded key and context are opaque; lengths in bytes; `out` may be `text`. */
export interface GcmFunctions {
  readonly pre: (key: Uint8Array, expanded: Uint8Array) => void;
  readonly seal: Whole;
  readonly open: Whole;
  readonly init: (
    expanded: Uint8Array,
    context: Uint8Array,
    nonce: Uint8Array,
    aad: Uint8Array,
    aadLength: number,
  ) => void;
  readonly sealPart: (
    expanded: Uint8Array,
    context: Uint8Array,
    out: Uint8Array,
    text: Uint8Array,
    length: number,
  ) => void;
  readonly sealEnd: (
    expanded: Uint8Array,
    context: Uint8Array,
    tag: Uint8Array,
    tagLength: number,
  ) => void;
  /** Where it lies, as C sees it. */
  readonly addressOf: (memory: Uint8Array) => number;
}

/** All of it in one call. Opening gives the tag that would be right, too. */
type Whole = (
  expanded: Uint8Array,
  context: Uint8Array,
  out: Uint8Array,
  text: Uint8Array,
  length: number,
  nonce: Uint8Array,
  aad: Uint8Array,
  aadLength: number,
  tag: Uint8Array,
  tagLength: number,
) => void;

/** @throws {Error} it computes something else */
export function checkedCipher(name: AeadName, functions: GcmFunctions): IpsecMbCipher {
  const cipher = new IpsecMbCipher(name, functions);
  checkAnswers(name, (key) => cipher.aead(key), "libIPSec_MB");
  return cipher;
}

export class IpsecMbCipher {
  readonly name: AeadName;
  readonly functions: GcmFunctions;
  readonly sealing: ExpandedKey;
  readonly opening: ExpandedKey;
  /** What is in it counts from the first call for a text to the last. */
  readonly context: Uint8Array;

  constructor(name: AeadName, functions: GcmFunctions) {
    this.name = name;
    this.functions = functions;
    this.sealing = new ExpandedKey(functions);
    this.opening = new ExpandedKey(functions);
    this.context = alignedMemory(CONTEXT_LENGTH, functions);
  }

  aead(key: Uint8Array): Aead {
    return new IpsecMbAead(this, key);
  }
}

/** Nothing but the key is its own: there are two of these per idle connection. */
class IpsecMbAead implements Aead {
  readonly #cipher: IpsecMbCipher;
  readonly #key: Uint8Array;

  constructor(cipher: IpsecMbCipher, key: Uint8Array) {
    checkKey(cipher.name, key);
    this.#cipher = cipher;
    this.#key = new Uint8Array(key);
  }

  seal(
    nonce: Uint8Array,
    aad: Uint8Array,
    plaintext: Uint8Array,
    out: Uint8Array,
    at: number,
  ): number {
    const { length } = plaintext;
    const end = at + length;
    checkNonce(nonce);
    checkRoom(out, at, end);
    const { functions, sealing, context } = this.#cipher;
    const key = sealing.of(this.#key);
    const to = out.subarray(at, end + TAG_LENGTH);
    functions.seal(key, context, to, plaintext, length, nonce, aad, aad.length, tag, TAG_LENGTH);
    return appendTag(tag, out, end);
  }

  sealJoined(
    nonce: Uint8Array,
    aad: Uint8Array,
    content: Uint8Array,
    rest: Uint8Array,
    out: Uint8Array,
    at: number,
  ): number {
    const restAt = at + content.length;
    const end = restAt + rest.length;
    checkNonce(nonce);
    checkRoom(out, at, end);
    const { functions, sealing, context } = this.#cipher;
    const key = sealing.of(this.#key);
    functions.init(key, context, nonce, aad, aad.length);
    functions.sealPart(key, context, out.subarray(at, restAt), content, content.length);
    if (rest.length === 1) { // a content type and no padding
      functions.sealPart(key, context, lastByte, rest, 1);
      out[restAt] = lastByte[0]!;
    } else {
      functions.sealPart(key, context, out.subarray(restAt, end), rest, rest.length);
    }
    functions.sealEnd(key, context, tag, TAG_LENGTH);
    return appendTag(tag, out, end);
  }

  open(nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array): Uint8Array | undefined {
    const end = ciphertext.length - TAG_LENGTH;
    if (end < 0) return undefined;
    checkNonce(nonce);
    const { functions, opening, context } = this.#cipher;
    const key = opening.of(this.#key);
    const plaintext = roomFor(end);
    for (let i = 0; i < TAG_LENGTH; i++) tag[i] = ciphertext[end + i]! ^ 0xff; // until there is another
    functions.open(
      key,
      context,
      plaintext,
      ciphertext,
      end,
      nonce,
      aad,
      aad.length,
      tag,
      TAG_LENGTH,
    );
    let difference = 0;
    for (let i = 0; i < TAG_LENGTH; i++) difference |= tag[i]! ^ ciphertext[end + i]!;
    if (difference === 0) return plaintext;
    plaintext.fill(0); // nobody's
    return undefined;
  }
}

/** The last key that was used for this. It stays here when its connection has ended, until there is another. */
class ExpandedKey {
  readonly #pre: GcmFunctions["pre"];
  readonly #expanded: Uint8Array;
  #key: Uint8Array | undefined;

  constructor(functions: GcmFunctions) {
    this.#pre = functions.pre;
    this.#expanded = alignedMemory(EXPANDED_LENGTH, functions);
  }

  of(key: Uint8Array): Uint8Array {
    if (this.#key !== key) {
      this.#pre(key, this.#expanded);
      this.#key = key;
    }
    return this.#expanded;
  }
}

/** Arrays over a buffer of their own stay where they are. */
function alignedMemory(length: number, { addressOf }: GcmFunctions): Uint8Array {
  const memory = new Uint8Array(new ArrayBuffer(length + ALIGNMENT));
  const at = ALIGNMENT - addressOf(memory) % ALIGNMENT;
  return memory.subarray(at, at + length);
}

/** `struct gcm_key_data`, with room for more: 1,008 bytes in 1.3, 1,280 in 2.0. */
const EXPANDED_LENGTH = 4096;
/** Of both. */
const ALIGNMENT = 64;
/** `struct gcm_context_data`, likewise: 88 bytes. */
const CONTEXT_LENGTH = 512;
const tag = new Uint8Array(TAG_LENGTH);
const lastByte = new Uint8Array(1);
