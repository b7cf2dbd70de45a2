import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Aead } from "../../src/crypto/crypto.ts";
import { DEFAULT_LIMITS } from "../../src/tls/limits.ts";
import { RecordReader } from "../../src/tls/record-reader.ts";
import { Flight, RecordWriter } from "../../src/tls/record.ts";
import { testCrypto } from "../support/server-config.ts";
import { feed, nonceOf, plain, Recorder, sealed, testAead, testIv, zeros } from "./record-kit.ts";

const ALERT = 21;
const HANDSHAKE = 22;
const DATA = 23;
const KEY = 7;

function protectedWriter(maxInnerPlaintext?: number): RecordWriter {
  const writer = new RecordWriter();
  writer.protect(testAead(KEY), testIv(KEY));
  if (maxInnerPlaintext !== undefined) writer.maxInnerPlaintext = maxInnerPlaintext;
  return writer;
}

/** What one call writes, on memory that was used before. */
function written(
  writer: RecordWriter,
  type: number,
  content: Uint8Array,
  padTo?: number,
): Uint8Array {
  const flight = new Flight(64);
  flight.bytes.fill(0xee);
  writer.write(flight, type, content, 0, content.length, padTo);
  return flight.bytes.slice(0, flight.length);
}

/** The `length` field of each record. */
function lengths(stream: Uint8Array): number[] {
  const found: number[] = [];
  for (let at = 0; at < stream.length; at += 5 + found.at(-1)!) {
    found.push((stream[at + 3]! << 8) | stream[at + 4]!);
  }
  return found;
}

/** The contents that a reader under the same key hears. */
function heard(stream: Uint8Array): Uint8Array[] {
  const reader = new RecordReader(DEFAULT_LIMITS);
  reader.protect(testAead(KEY), testIv(KEY));
  const outcome = feed(reader, new Recorder(), stream, []);
  expect(outcome.error).toBeUndefined();
  return outcome.records.map((record) => Uint8Array.from(Buffer.from(record.slice(3), "hex")));
}

const counting = (length: number) => zeros(length).map((_, i) => i % 251);
const joined = (parts: Uint8Array[]) => Uint8Array.from(Buffer.concat(parts));

test("content that could not be sealed is in no flight", () => {
  const good = testCrypto.aead("aes-128-gcm", counting(16));
  for (const length of [10, 8192]) {
    const broken: Aead = {
      seal: () => {
        throw new Error("no random bytes");
      },
      open: () => undefined,
    };
    const flight = new Flight();
    const writer = new RecordWriter();
    writer.protect(good, counting(12));
    writer.write(flight, 23, new Uint8Array(5), 0, 5);
    const before = flight.length;
    writer.protect(broken, counting(12));
    expect(() => writer.write(flight, 23, new Uint8Array(length), 0, length)).toThrow("no random");
    expect(flight.length).toBe(before);
  }
});

test("long content is sealed apart from what follows it, to the same records", () => {
  const aead = testCrypto.aead("aes-128-gcm", counting(16));
  const lengthsJoined: number[] = [];
  const seal = aead.seal.bind(aead);
  const open = aead.open.bind(aead);
  const inTwo: Aead = {
    seal,
    open,
    sealJoined(nonce, aad, content, rest, out, at) {
      lengthsJoined.push(content.length);
      return aead.sealJoined?.(nonce, aad, content, rest, out, at) ??
        aead.seal(nonce, aad, joined([content, rest]), out, at);
    },
  };
  const inOne: Aead = { seal, open };
  const [two, one] = [inTwo, inOne].map((aead) => {
    const writer = new RecordWriter();
    writer.protect(aead, testIv(KEY));
    return joined([
      written(writer, DATA, counting(4095)),
      written(writer, DATA, counting(40_000), 30_000),
    ]);
  });
  expect(two).toEqual(one);
  expect(lengthsJoined).toEqual([16384, 16384, 7231]);
});

describe("plaintext", () => {
  test("tls13 1: a record is type, 0x0303, length, content", () => {
    const writer = new RecordWriter();
    expect(written(writer, ALERT, Uint8Array.of(2, 40))).toEqual(plain(ALERT, [2, 40]));
    expect(writer.isProtected).toBe(false);
    expect(writer.sealedRecords).toBe(0);
  });

  test("RecordWriter writes the part of the content that it is told", () => {
    const flight = new Flight();
    new RecordWriter().write(flight, HANDSHAKE, Uint8Array.of(1, 2, 3, 4), 1, 3);
    expect(flight.bytes.slice(0, flight.length)).toEqual(plain(HANDSHAKE, [2, 3]));
    const sealedFlight = new Flight();
    protectedWriter().write(sealedFlight, HANDSHAKE, Uint8Array.of(1, 2, 3, 4), 1, 3);
    expect(heard(sealedFlight.bytes.slice(0, sealedFlight.length))).toEqual([Uint8Array.of(2, 3)]);
  });

  test("tls13 1: messages are split at 2^14", () => {
    const content = counting(2 ** 14 + 3);
    expect(lengths(written(new RecordWriter(), HANDSHAKE, content.subarray(0, 2 ** 14)))).toEqual([
      2 ** 14,
    ]);
    const stream = written(new RecordWriter(), HANDSHAKE, content);
    expect(lengths(stream)).toEqual([2 ** 14, 3]);
    expect(stream.subarray(5, 5 + 2 ** 14)).toEqual(content.subarray(0, 2 ** 14));
    expect(stream.subarray(10 + 2 ** 14)).toEqual(content.subarray(2 ** 14));
  });

  test("tls13 10: record_size_limit and padding do not touch plaintext", () => {
    const writer = new RecordWriter();
    writer.maxInnerPlaintext = 64;
    expect(written(writer, HANDSHAKE, counting(300), 512)).toEqual(plain(HANDSHAKE, counting(300)));
  });

  test("tls13 1: no zero-length fragment is written: RangeError", () => {
    expect(() => written(new RecordWriter(), HANDSHAKE, zeros(0))).toThrow(RangeError);
    expect(() => written(new RecordWriter(), DATA, zeros(0))).toThrow(RangeError);
    expect(() => written(protectedWriter(), HANDSHAKE, zeros(0))).toThrow(RangeError);
    expect(() => written(protectedWriter(), ALERT, zeros(0), 16)).toThrow(RangeError);
  });
});

describe("protected", () => {
  test("tls13 1: a record is sealed under its header, its nonce, with its type behind the content", () => {
    const writer = protectedWriter();
    expect(writer.isProtected).toBe(true);
    expect(written(writer, DATA, Uint8Array.of(1, 2))).toEqual(sealed(KEY, 0, [1, 2, DATA]));
    expect(written(writer, ALERT, Uint8Array.of(1, 0))).toEqual(sealed(KEY, 1, [1, 0, ALERT]));
    expect(written(writer, DATA, zeros(0))).toEqual(sealed(KEY, 2, [DATA]));
    expect(writer.sealedRecords).toBe(3);
  });

  test("tls13 1: sequence numbers and the count start at 0 under each key", () => {
    const writer = protectedWriter();
    written(writer, DATA, counting(20_000));
    expect(writer.sealedRecords).toBe(2);
    writer.protect(testAead(8), testIv(8));
    expect(writer.sealedRecords).toBe(0);
    expect(written(writer, DATA, Uint8Array.of(5))).toEqual(sealed(8, 0, [5, DATA]));
  });

  test("tls13 1: the nonce is the IV with the 64-bit sequence number on its last 8 bytes", () => {
    const iv = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 53n - 1n }), (sequence) => {
        const expected = iv.slice();
        for (let i = 0; i < 8; i++) expected[11 - i]! ^= Number((sequence >> BigInt(8 * i)) & 255n);
        expect(nonceOf(iv, Number(sequence))).toEqual(expected);
      }),
    );
  });

  test("tls13 10: content is split at the peer's record_size_limit - 1", () => {
    const stream = written(protectedWriter(64), HANDSHAKE, counting(127));
    expect(lengths(stream)).toEqual([64 + 16, 64 + 16, 1 + 1 + 16]);
    expect(joined(heard(stream))).toEqual(counting(127));
  });

  test("tls13 10: a limit over 2^14 + 1 allows no more than 2^14 + 1", () => {
    for (const limit of [2 ** 14 + 1, 2 ** 14 + 2, 65535]) {
      const stream = written(protectedWriter(limit), DATA, counting(2 ** 14 + 1));
      expect(lengths(stream)).toEqual([2 ** 14 + 1 + 16, 1 + 1 + 16]);
    }
  });

  test("RecordWriter appends to what the flight holds, which may grow under it", () => {
    const writer = protectedWriter();
    const flight = new Flight(8);
    writer.write(flight, DATA, counting(100), 0, 100);
    writer.write(flight, DATA, counting(5000), 0, 5000);
    expect(heard(flight.bytes.slice(0, flight.length))).toEqual([counting(100), counting(5000)]);
  });
});

describe("padding", () => {
  test("ech 10: content and padding are a multiple of padTo, the type not counted", () => {
    for (const [length, inner] of [[1, 512], [511, 512], [512, 512], [513, 1024]] as const) {
      const stream = written(protectedWriter(), HANDSHAKE, counting(length), 512);
      expect(lengths(stream)).toEqual([inner + 1 + 16]);
      expect(heard(stream)).toEqual([counting(length)]);
    }
  });

  test("ech 10: padding counts for record_size_limit and is spread over the records", () => {
    const stream = written(protectedWriter(101), HANDSHAKE, counting(130), 512);
    expect(lengths(stream).map((length) => length - 17)).toEqual([100, 100, 100, 100, 100, 12]);
    expect(joined(heard(stream))).toEqual(counting(130));
  });

  test("tls13 1: no record carries padding alone", () => {
    const stream = written(protectedWriter(101), HANDSHAKE, counting(3), 200);
    expect(heard(stream)).toEqual([counting(3).subarray(0, 2), counting(3).subarray(2)]);
    expect(lengths(stream).map((length) => length - 17)).toEqual([100, 100]);
  });

  test("tls13 1: an alert stays one record, whatever the padding", () => {
    const stream = written(protectedWriter(64), ALERT, Uint8Array.of(2, 40), 1024);
    expect(heard(stream)).toEqual([Uint8Array.of(2, 40)]);
    expect(lengths(stream)).toEqual([64 + 16]);
  });

  test("RecordWriter pads as far as there is content for another record", () => {
    const stream = written(protectedWriter(101), HANDSHAKE, counting(2), 512);
    expect(lengths(stream).map((length) => length - 17)).toEqual([100, 100]);
  });

  test("RecordWriter keeps content, limit and multiple for any sizes", () => {
    const sizes = fc.record({
      length: fc.integer({ min: 1, max: 3000 }),
      limit: fc.integer({ min: 64, max: 2000 }),
      padTo: fc.integer({ min: 0, max: 1500 }),
    });
    fc.assert(
      fc.property(sizes, ({ length, limit, padTo }) => {
        const writer = protectedWriter(limit);
        const stream = written(writer, HANDSHAKE, counting(length), padTo);
        const inner = lengths(stream).map((length) => length - 17);
        const total = inner.reduce((sum, size) => sum + size, 0);
        const contents = heard(stream); // an empty fragment would be refused
        expect(joined(contents)).toEqual(counting(length));
        expect(Math.max(...inner)).toBeLessThan(limit);
        expect(writer.sealedRecords).toBe(inner.length);
        const wanted = padTo === 0 ? length : Math.ceil(length / padTo) * padTo;
        expect(total).toBe(Math.min(wanted, length * (limit - 1)));
        expect(inner.length).toBe(Math.ceil(total / (limit - 1)));
      }),
      { numRuns: 300 },
    );
  });
});

describe("Flight", () => {
  test("Flight keeps what it holds as it grows, and forgets it at reset", () => {
    const flight = new Flight(2);
    expect(flight.reserve(2)).toBe(0);
    flight.bytes.set([1, 2]);
    expect(flight.reserve(3)).toBe(2);
    flight.bytes.set([3, 4, 5], 2);
    expect(flight.bytes.slice(0, flight.length)).toEqual(Uint8Array.of(1, 2, 3, 4, 5));
    flight.reset();
    expect(flight.length).toBe(0);
  });

  test("Flight lets go of unusually much memory at reset", () => {
    const flight = new Flight();
    flight.reserve(2 ** 20);
    flight.reset();
    expect(flight.bytes.length).toBeLessThan(2 ** 18);
  });
});
