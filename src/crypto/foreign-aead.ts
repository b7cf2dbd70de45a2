/**
 * What has to be seen to before a cipher of a shared library is called, since C checks no bounds; and what such a cipher is
 * asked before it is used at all.
 *
 * @module
 */
import type { Aead, AeadName } from "./crypto.ts";

/** @throws {RangeError} */
export function checkKey(name: AeadName, key: Uint8Array): void {
  if (key.length !== KEY_LENGTH[name]) {
    throw new RangeError(`Cannot use a key of ${key.length} bytes`);
  }
}

/** @throws {RangeError} */
export function checkNonce(nonce: Uint8Array): void {
  if (nonce.length !== NONCE_LENGTH) {
    throw new RangeError(`Cannot use a nonce of ${nonce.length} bytes`);
  }
}

/**
 * Room for what is sealed from `at` to `end`, and for the tag behind it.
 *
 * @throws {RangeError}
 */
export function checkRoom(out: Uint8Array, at: number, end: number): void {
  if (at < 0 || end + TAG_LENGTH > out.length) {
    throw new RangeError("Cannot seal: no room for it");
  }
}

/** Where a text is opened: one place for all, used again with the next one. */
export function roomFor(length: number): Uint8Array {
  return length <= opened.length ? opened.subarray(0, length) : new Uint8Array(length);
}

/**
 * The first text that is sealed under a key of zeros, as RFC 8439 or NIST's examples for GCM would have it.
 *
 * @throws {Error} it is another, or a wrong one is opened
 */
export function checkAnswers(
  name: AeadName,
  make: (key: Uint8Array) => Aead,
  library: string,
): void {
  const aead = make(new Uint8Array(KEY_LENGTH[name]));
  const nonce = new Uint8Array(NONCE_LENGTH);
  const noBytes = new Uint8Array(0);
  const sealed = new Uint8Array(16 + TAG_LENGTH);
  aead.seal(nonce, noBytes, new Uint8Array(16), sealed, 0);
  const isRight = Buffer.from(sealed).toString("hex") === KNOWN_ANSWERS[name];
  const opened = isRight && aead.open(nonce, noBytes, sealed);
  sealed[0]! ^= 1;
  if (opened === false || opened?.length !== 16 || aead.open(nonce, noBytes, sealed)) {
    throw new Error(`${library} computes another ${name}`);
  }
}

const KNOWN_ANSWERS: Readonly<Record<AeadName, string>> = {
  "aes-128-gcm": "0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf",
  "aes-256-gcm": "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919",
  "chacha20-poly1305": "9f07e7be5551387a98ba977c732d080dc34a88047320f52aa2c6683ef8084d2f",
};
const KEY_LENGTH = { "aes-128-gcm": 16, "aes-256-gcm": 32, "chacha20-poly1305": 32 } as const;
const NONCE_LENGTH = 12;
export const TAG_LENGTH = 16;
/** Enough for every record. */
const opened = new Uint8Array(new ArrayBuffer(2 ** 14 + 256));
