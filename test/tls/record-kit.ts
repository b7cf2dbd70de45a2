/**
 * Records by hand: an AEAD on node:crypto, records with any inner plaintext, and a sink that writes down what it hears.
 * @module
 */
import { createCipheriv, createDecipheriv } from "node:crypto";
import type { Aead } from "../../src/crypto/crypto.ts";
import { TlsError } from "../../src/tls/error.ts";
import type { RecordReader, RecordSink } from "../../src/tls/record-reader.ts";
import { ivWord, recordNonce } from "../../src/tls/record.ts";

/** AES-128-GCM for one key made of one byte. */
export function testAead(keyByte: number): Aead {
  const key = new Uint8Array(16).fill(keyByte);
  return {
    seal(nonce, aad, plaintext, out, at) {
      const cipher = createCipheriv("aes-128-gcm", key, nonce).setAAD(aad);
      const sealed = Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
      out.set(sealed, at);
      return at + sealed.length;
    },
    open(nonce, aad, ciphertext) {
      const tagAt = ciphertext.length - 16;
      const decipher = createDecipheriv("aes-128-gcm", key, nonce).setAAD(aad);
      decipher.setAuthTag(ciphertext.subarray(tagAt));
      try {
        const opened = Buffer.concat([
          decipher.update(ciphertext.subarray(0, tagAt)),
          decipher.final(),
        ]);
        return new Uint8Array(opened);
      } catch {
        return undefined;
      }
    },
  };
}

export function testIv(byte: number): Uint8Array {
  return new Uint8Array(12).fill(byte);
}

/** A record as it stands on the wire, whatever it says. */
export function plain(type: number, body: Uint8Array | number[], version = 0x0303): Uint8Array {
  return bytes([type, version >> 8, version & 255, body.length >> 8, body.length & 255], body);
}

/** A header alone. */
export function header(type: number, length: number): Uint8Array {
  return plain(type, new Uint8Array(length)).subarray(0, 5);
}

/** A protected record with any TLSInnerPlaintext, under `testAead(keyByte)` and `testIv(keyByte)`. */
export function sealed(
  keyByte: number,
  sequence: number,
  inner: Uint8Array | number[],
  outer: { type?: number; version?: number } = {},
): Uint8Array {
  const length = inner.length + 16;
  const record = plain(outer.type ?? 23, new Uint8Array(length), outer.version);
  const nonce = nonceOf(testIv(keyByte), sequence);
  testAead(keyByte).seal(nonce, record.subarray(0, 5), Uint8Array.from(inner), record, 5);
  return record;
}

export function nonceOf(iv: Uint8Array, sequence: number): Uint8Array {
  return recordNonce(ivWord(iv, 0), ivWord(iv, 4), ivWord(iv, 8), sequence).slice();
}

export function bytes(...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

export function zeros(length: number): Uint8Array {
  return new Uint8Array(length);
}

/** What came of a stream: contents in order, as `type:hex`, and how it ended. */
export interface Outcome {
  readonly records: string[];
  readonly error: TlsError | undefined;
}

/** Hears all records; `react` may turn keys and say stop. */
export class Recorder implements RecordSink {
  readonly records: string[] = [];
  midMessage = false;
  readonly #react: (type: number, count: number) => boolean | void;

  constructor(react: (type: number, count: number) => boolean | void = () => {}) {
    this.#react = react;
  }

  record(type: number, content: Uint8Array, start: number, end: number): boolean {
    this.records.push(`${type}:${Buffer.from(content.subarray(start, end)).toString("hex")}`);
    return this.#react(type, this.records.length) ?? true;
  }
}

/** Feeds `stream` in pieces that end at `cuts`; each piece is a copy of its own. */
export function feed(
  reader: RecordReader,
  sink: Recorder,
  stream: Uint8Array,
  cuts: readonly number[],
): Outcome {
  let from = 0;
  try {
    for (const to of [...cuts, stream.length]) {
      reader.receive(stream.slice(from, to), sink);
      from = to;
    }
  } catch (error) {
    if (!(error instanceof TlsError)) throw error;
    return { records: sink.records, error };
  }
  return { records: sink.records, error: undefined };
}

/** Cuts after every byte. */
export function everyByte(stream: Uint8Array): number[] {
  return Array.from({ length: Math.max(0, stream.length - 1) }, (_, i) => i + 1);
}
