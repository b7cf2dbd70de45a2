/**
 * What has to be seen to before a cipher of a shared library is called, since C checks no bounds; and what such a cipher is
 * asked before it is used at all.
 *
 * @module
 */
import { KEY_LENGTH } from "./aead.ts";
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
  if (!(at >= 0 && end + TAG_LENGTH <= out.length)) {
    throw new RangeError("Cannot seal: no room for it");
  }
}

/** Puts `tag` behind what is sealed up to `end`; returns the end of both. For so few bytes a loop costs less than `set`. */
export function appendTag(tag: Uint8Array, out: Uint8Array, end: number): number {
  for (let i = 0; i < TAG_LENGTH; i++) out[end + i] = tag[i]!;
  return end + TAG_LENGTH;
}

/** Where a text is opened: one place for all, used again with the next one. */
export function roomFor(length: number): Uint8Array {
  return length <= opened.length ? opened.subarray(0, length) : new Uint8Array(length);
}

/**
 * Texts under a key of zeros: the first one of RFC 8439's and NIST's examples for GCM, and one that is long enough for what
 * ciphers do with many blocks, in each way that records are sealed.
 *
 * @throws {Error} it seals them otherwise, or opens a wrong one
 */
export function checkAnswers(
  name: AeadName,
  make: (key: Uint8Array) => Aead,
  library: string,
): void {
  if (!answersRightly(make(new Uint8Array(KEY_LENGTH[name])), name)) {
    throw new Error(`${library} computes another ${name}`);
  }
}

function answersRightly(aead: Aead, name: AeadName): boolean {
  const nonce = new Uint8Array(NONCE_LENGTH);
  const short = new Uint8Array(16 + TAG_LENGTH);
  aead.seal(nonce, new Uint8Array(0), new Uint8Array(16), short, 0);
  if (hex(short) !== SHORT_ANSWERS[name]) return false;

  const text = new Uint8Array(LONG_TEXT);
  const long = new Uint8Array(LONG_TEXT + TAG_LENGTH);
  aead.seal(nonce, AAD, text, long, 0);
  if (hex(long.subarray(LONG_TEXT)) !== LONG_TAGS[name]) return false;
  for (const rest of [1, 17]) {
    const joined = new Uint8Array(LONG_TEXT + TAG_LENGTH);
    joined.fill(0xaa); // whatever was there before
    aead.sealJoined?.(nonce, AAD, text.subarray(rest), text.subarray(0, rest), joined, 0);
    if (aead.sealJoined !== undefined && hex(joined) !== hex(long)) return false;
  }
  if (hex(aead.open(nonce, AAD, long) ?? long) !== hex(text)) return false;
  long[LONG_TEXT]! ^= 1;
  return aead.open(nonce, AAD, long) === undefined;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

const SHORT_ANSWERS: Readonly<Record<AeadName, string>> = {
  "aes-128-gcm": "0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf",
  "aes-256-gcm": "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919",
  "chacha20-poly1305": "9f07e7be5551387a98ba977c732d080dc34a88047320f52aa2c6683ef8084d2f",
};
/** Zeros behind a record's header. */
const LONG_TEXT = 600;
const AAD = Uint8Array.of(23, 3, 3, 2, 104);
/** As node:crypto has them. */
const LONG_TAGS: Readonly<Record<AeadName, string>> = {
  "aes-128-gcm": "dfcc3f1f490a1fd3a1afb0fd02945657",
  "aes-256-gcm": "dc0c1433f46d9fe6090874e7dfbaaaa9",
  "chacha20-poly1305": "0acf3fcfc5d4800772929eddc860cfe0",
};
const NONCE_LENGTH = 12;
export const TAG_LENGTH = 16;
/** Enough for every record. */
const opened = new Uint8Array(new ArrayBuffer(2 ** 14 + 256));
