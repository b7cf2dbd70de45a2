import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { AlertName } from "../../src/tls/alert.ts";
import type { Reason } from "../../src/tls/error.ts";
import { DEFAULT_LIMITS } from "../../src/tls/limits.ts";
import { RecordReader } from "../../src/tls/record-reader.ts";
import {
  bytes,
  everyByte,
  feed,
  header,
  type Outcome,
  plain,
  Recorder,
  sealed,
  testAead,
  testIv,
  zeros,
} from "./record-kit.ts";

const CCS = 20;
const ALERT = 21;
const HANDSHAKE = 22;
const DATA = 23;
const KEY = 7;
const CCS_RECORD = plain(CCS, [1]);
const HELLO = plain(HANDSHAKE, [1, 0, 0, 1, 9], 0x0301);
const HELLO_HEARD = "22:0100000109";

/** A reader in some state and a sink that moves it on as the connection would. */
type Setting = () => { reader: RecordReader; sink: Recorder };

/** Nothing has come yet. */
const fresh: Setting = () => ({ reader: new RecordReader(DEFAULT_LIMITS), sink: new Recorder() });

/** The first record is a whole hello; from there on compatibility-mode records may come. */
const afterHello: Setting = () => {
  const reader = new RecordReader(DEFAULT_LIMITS);
  return {
    reader,
    sink: new Recorder((type) => void (reader.allowChangeCipherSpec ||= type === HANDSHAKE)),
  };
};

/** The first record is a hello, and the keys follow from it. */
const withKeys: Setting = () => {
  const reader = new RecordReader(DEFAULT_LIMITS);
  return {
    reader,
    sink: new Recorder((_, count) => {
      if (count > 1) return;
      reader.allowChangeCipherSpec = true;
      reader.protect(testAead(KEY), testIv(KEY));
    }),
  };
};

/** As `withKeys`, and the hello offered 0-RTT that is refused. */
const skippingWithKeys: Setting = () => {
  const reader = new RecordReader(DEFAULT_LIMITS);
  return {
    reader,
    sink: new Recorder((_, count) => {
      if (count > 1) return;
      reader.allowChangeCipherSpec = true;
      reader.skipEarlyData();
      reader.protect(testAead(KEY), testIv(KEY));
    }),
  };
};

/** The hello offered 0-RTT and is answered by a HelloRetryRequest: no keys. */
const skippingWithoutKeys: Setting = () => {
  const reader = new RecordReader(DEFAULT_LIMITS);
  return {
    reader,
    sink: new Recorder((_, count) => {
      if (count > 1) return;
      reader.allowChangeCipherSpec = true;
      reader.skipEarlyData();
    }),
  };
};

/** As `withKeys`; the second record is the client's Finished. */
const afterFinished: Setting = () => {
  const { reader, sink } = withKeys();
  return {
    reader,
    sink: new Recorder((type, count) => {
      sink.record(type, zeros(0), 0, 0);
      if (count === 2) reader.endHandshake();
    }),
  };
};

/** Runs a stream whole and byte by byte (and cut once anywhere, where it is short): all must come out the same. */
function outcomeOf(setting: Setting, stream: Uint8Array): Outcome {
  const run = (cuts: readonly number[]) => {
    const { reader, sink } = setting();
    return feed(reader, sink, stream, cuts);
  };
  const whole = run([]);
  const others = [everyByte(stream)];
  if (stream.length < 200) { for (let i = 1; i < stream.length; i++) others.push([i]); }
  for (const cuts of others) {
    const other = run(cuts);
    expect(other.records).toEqual(whole.records);
    expect(other.error?.reason).toBe(whole.error?.reason);
  }
  return whole;
}

function refuses(setting: Setting, stream: Uint8Array, reason: Reason, alert: AlertName): Outcome {
  const outcome = outcomeOf(setting, stream);
  expect(outcome.error?.reason).toBe(reason);
  expect(outcome.error?.alert).toBe(alert);
  return outcome;
}

/** Refused by these bytes and by none fewer: the last one decides. */
function refusesAtOnce(setting: Setting, stream: Uint8Array, reason: Reason, alert: AlertName) {
  refuses(setting, stream, reason, alert);
  const { reader, sink } = setting();
  expect(feed(reader, sink, stream.subarray(0, -1), []).error).toBeUndefined();
}

function takes(setting: Setting, stream: Uint8Array, records: readonly string[]): void {
  const outcome = outcomeOf(setting, stream);
  expect(outcome.error).toBeUndefined();
  expect(outcome.records).toEqual(records);
}

const hex = (content: Uint8Array | number[]) => Buffer.from(content).toString("hex");
const data = (content: number[], padding = 0) => [...content, DATA, ...zeros(padding)];

describe("the first bytes", () => {
  test.each([
    ["HTTP", [...new TextEncoder().encode("GET / HTTP/1.1\r\n")]],
    ["an SSLv2 hello", [0x80, 0x2e, 1, 0, 2]],
    ["a type below 20", [19]],
    ["a type above 23", [24]],
    ["a zero", [0]],
  ])("tls13 1.1: %s is not a TLS record, by its first byte", (_, stream) => {
    refusesAtOnce(
      fresh,
      Uint8Array.from(stream.slice(0, 1)),
      "not a TLS record",
      "unexpected_message",
    );
    refuses(fresh, Uint8Array.from(stream), "not a TLS record", "unexpected_message");
  });

  test.each([0, 2, 4, 0xfe])(
    "tls13 1.1: major version %i in the first record is not a TLS record",
    (major) => {
      refusesAtOnce(fresh, Uint8Array.of(22, major), "not a TLS record", "unexpected_message");
    },
  );

  test.each([
    ["change_cipher_spec", CCS],
    ["an alert", ALERT],
    ["application data", DATA],
  ])("tls13 1.1: %s is refused as the first record, by its first byte", (_, type) => {
    refusesAtOnce(fresh, Uint8Array.of(type), "unexpected record", "unexpected_message");
  });

  test("tls13 1: the record version says nothing: 0x0301 and 0x03ff first, anything later", () => {
    takes(fresh, HELLO, [HELLO_HEARD]);
    takes(fresh, bytes(plain(HANDSHAKE, [5], 0x03ff), plain(HANDSHAKE, [6], 0xfefd)), [
      "22:05",
      "22:06",
    ]);
  });
});

describe("lengths", () => {
  test("tls13 1: plaintext of 2^14 bytes is taken", () => {
    const body = zeros(2 ** 14).fill(1);
    takes(fresh, plain(HANDSHAKE, body), [`22:${hex(body)}`]);
  });

  test("tls13 1: plaintext over 2^14 bytes is record_overflow, from the header", () => {
    refusesAtOnce(fresh, header(HANDSHAKE, 2 ** 14 + 1), "record overflow", "record_overflow");
    refusesAtOnce(fresh, header(HANDSHAKE, 0xffff), "record overflow", "record_overflow");
    refusesAtOnce(
      afterHello,
      bytes(HELLO, header(ALERT, 2 ** 14 + 1)),
      "record overflow",
      "record_overflow",
    );
  });

  test("tls13 1: ciphertext over 2^14 + 256 bytes is record_overflow, from the header", () => {
    const tooLong = bytes(HELLO, header(DATA, 2 ** 14 + 257));
    refusesAtOnce(withKeys, tooLong, "record overflow", "record_overflow");
    const longest = bytes(HELLO, plain(DATA, zeros(2 ** 14 + 256)));
    refusesAtOnce(withKeys, longest, "bad record MAC", "bad_record_mac");
  });

  test("tls13 1: a TLSInnerPlaintext of 2^14 + 1 bytes is taken, be it content or padding", () => {
    const content = zeros(2 ** 14).fill(1);
    takes(withKeys, bytes(HELLO, sealed(KEY, 0, bytes(content, [DATA]))), [
      HELLO_HEARD,
      `23:${hex(content)}`,
    ]);
    takes(withKeys, bytes(HELLO, sealed(KEY, 0, data([5], 2 ** 14 - 1))), [HELLO_HEARD, "23:05"]);
  });

  test("tls13 1: a TLSInnerPlaintext over 2^14 + 1 bytes is record_overflow, be it content or padding", () => {
    const content = bytes(HELLO, sealed(KEY, 0, bytes(zeros(2 ** 14 + 1).fill(1), [DATA])));
    refuses(withKeys, content, "record overflow", "record_overflow");
    const padding = bytes(HELLO, sealed(KEY, 0, data([5], 2 ** 14)));
    refuses(withKeys, padding, "record overflow", "record_overflow");
    const nothing = bytes(HELLO, sealed(KEY, 0, zeros(2 ** 14 + 2)));
    refuses(withKeys, nothing, "record overflow", "record_overflow");
  });

  test("tls13 10: record_size_limit counts content, type and padding", () => {
    const limited = (extra: number): Setting => () => {
      const limits = { ...DEFAULT_LIMITS, recordSizeLimit: 64 };
      const reader = new RecordReader(limits);
      reader.protect(testAead(KEY), testIv(KEY));
      if (extra > 0) reader.maxInnerPlaintext += extra;
      return { reader, sink: new Recorder() };
    };
    const of64 = sealed(KEY, 0, data([5], 62));
    const of65 = sealed(KEY, 0, data([5], 63));
    takes(limited(0), of64, ["23:05"]);
    refuses(limited(0), of65, "record overflow", "record_overflow");
    takes(limited(1), of65, ["23:05"]);
  });

  test("tls13 10: a record_size_limit over 2^14 + 1 allows no more than 2^14 + 1", () => {
    const reader = new RecordReader({ ...DEFAULT_LIMITS, recordSizeLimit: 65535 });
    expect(reader.maxInnerPlaintext).toBe(2 ** 14 + 1);
  });
});

describe("protection", () => {
  test("tls13 1: records open in order under AAD as received, whatever version it has", () => {
    const stream = bytes(
      HELLO,
      sealed(KEY, 0, data([1])),
      sealed(KEY, 1, data([2, 2], 3), { version: 0x0301 }),
      sealed(KEY, 2, [3, 0, HANDSHAKE]),
    );
    takes(withKeys, stream, [HELLO_HEARD, "23:01", "23:0202", "22:0300"]);
  });

  test("tls13 1: a record that does not verify is bad_record_mac", () => {
    const record = sealed(KEY, 0, data([1]));
    for (const at of [5, 6, record.length - 1]) {
      const broken = record.slice();
      broken[at]! ^= 1;
      refusesAtOnce(withKeys, bytes(HELLO, broken), "bad record MAC", "bad_record_mac");
    }
  });

  test("tls13 1: a changed header is bad_record_mac, for it is the AAD", () => {
    const record = sealed(KEY, 0, data([1]));
    record[2] = 1;
    refuses(withKeys, bytes(HELLO, record), "bad record MAC", "bad_record_mac");
  });

  test("tls13 1: a record too short for a tag is bad_record_mac, from the header", () => {
    for (const length of [0, 1, 15]) {
      refusesAtOnce(
        withKeys,
        bytes(HELLO, header(DATA, length)),
        "bad record MAC",
        "bad_record_mac",
      );
    }
  });

  test("tls13 1: a repeated or skipped sequence number is bad_record_mac", () => {
    const twice = bytes(HELLO, sealed(KEY, 0, data([1])), sealed(KEY, 0, data([1])));
    expect(refuses(withKeys, twice, "bad record MAC", "bad_record_mac").records).toHaveLength(2);
    refuses(withKeys, bytes(HELLO, sealed(KEY, 1, data([1]))), "bad record MAC", "bad_record_mac");
  });

  test("tls13 1: sequence numbers start at 0 under each key", () => {
    const NEXT = 8;
    const rekeyed: Setting = () => {
      const { reader } = fresh();
      const sink = new Recorder((_, count) => {
        if (count === 1) reader.protect(testAead(KEY), testIv(KEY));
        if (count === 3) reader.protect(testAead(NEXT), testIv(NEXT));
      });
      return { reader, sink };
    };
    const stream = bytes(
      HELLO,
      sealed(KEY, 0, data([1])),
      sealed(KEY, 1, data([2])),
      sealed(NEXT, 0, data([3])),
      sealed(NEXT, 1, data([4])),
    );
    takes(rekeyed, stream, [HELLO_HEARD, "23:01", "23:02", "23:03", "23:04"]);
  });

  test("tls13 1: decrypted content without a type byte is unexpected_message", () => {
    for (const length of [0, 1, 20, 2 ** 14 + 1]) {
      const stream = bytes(HELLO, sealed(KEY, 0, zeros(length)));
      refuses(withKeys, stream, "missing content type", "unexpected_message");
    }
  });

  test("tls13 1: padding of any length is taken off", () => {
    for (const padding of [0, 1, 15, 16, 255, 5000]) {
      takes(withKeys, bytes(HELLO, sealed(KEY, 0, data([9, 0, 9, 0], padding))), [
        HELLO_HEARD,
        "23:09000900",
      ]);
    }
  });
});

describe("content types", () => {
  test("tls13 1: a zero-length handshake or alert record is unexpected_message, from the header", () => {
    refusesAtOnce(fresh, header(HANDSHAKE, 0), "empty fragment", "unexpected_message");
    refusesAtOnce(
      afterHello,
      bytes(HELLO, header(HANDSHAKE, 0)),
      "empty fragment",
      "unexpected_message",
    );
    refusesAtOnce(
      afterHello,
      bytes(HELLO, header(ALERT, 0)),
      "empty fragment",
      "unexpected_message",
    );
    refusesAtOnce(withKeys, bytes(HELLO, header(ALERT, 0)), "empty fragment", "unexpected_message");
  });

  test("tls13 1: zero-length handshake or alert content is unexpected_message, padded or not", () => {
    for (const type of [HANDSHAKE, ALERT]) {
      for (const padding of [0, 7]) {
        const stream = bytes(HELLO, sealed(KEY, 0, [type, ...zeros(padding)]));
        refuses(withKeys, stream, "empty fragment", "unexpected_message");
      }
    }
  });

  test("tls13 1: an unknown content type is unexpected_message, by its first byte", () => {
    for (const type of [0, 19, 24, 0x80, 255]) {
      refusesAtOnce(afterHello, bytes(HELLO, [type]), "unexpected record", "unexpected_message");
      refusesAtOnce(withKeys, bytes(HELLO, [type]), "unexpected record", "unexpected_message");
    }
  });

  test("tls13 1: an unknown inner content type is unexpected_message", () => {
    for (const type of [1, 19, 24, 255]) {
      refuses(
        withKeys,
        bytes(HELLO, sealed(KEY, 0, [5, type])),
        "unexpected record",
        "unexpected_message",
      );
    }
  });

  test("tls13 1: unprotected application data is unexpected_message, by its first byte", () => {
    refusesAtOnce(afterHello, bytes(HELLO, [DATA]), "unexpected record", "unexpected_message");
  });

  test("tls13 1: a protected change_cipher_spec is unexpected_message", () => {
    refuses(
      withKeys,
      bytes(HELLO, sealed(KEY, 0, [1, CCS])),
      "unexpected record",
      "unexpected_message",
    );
  });

  test("tls13 1: an outer type other than 23 under a read key is unexpected_message, by its first byte", () => {
    refusesAtOnce(withKeys, bytes(HELLO, [HANDSHAKE]), "unexpected record", "unexpected_message");
    const disguised = sealed(KEY, 0, data([1]), { type: HANDSHAKE });
    refuses(withKeys, bytes(HELLO, disguised), "unexpected record", "unexpected_message");
  });

  test("tls13 1: an alert record of other than 2 bytes is decode_error", () => {
    for (const body of [[2], [2, 40, 2], [1, 0, 1, 0]]) {
      const plaintext = bytes(HELLO, header(ALERT, body.length));
      refusesAtOnce(afterHello, plaintext, "bad alert record", "decode_error");
      refusesAtOnce(withKeys, plaintext, "bad alert record", "decode_error");
      const hidden = bytes(HELLO, sealed(KEY, 0, [...body, ALERT]));
      refuses(withKeys, hidden, "bad alert record", "decode_error");
    }
  });

  test("tls13 1: an empty application data record is handed on and counted", () => {
    const empty = (count: number) =>
      bytes(HELLO, ...Array.from({ length: count }, (_, i) => sealed(KEY, i, data([], i))));
    expect(outcomeOf(withKeys, empty(32)).records).toEqual([HELLO_HEARD, ...Array(32).fill("23:")]);
    refuses(withKeys, empty(33), "too many useless records", "unexpected_message");
  });

  test("tls13 14.1: records with content set the count of useless ones back, alerts do not", () => {
    const emptyThen = (inner: number[]) => {
      const inners = [...Array(32).fill(data([])), inner, data([])];
      return bytes(HELLO, ...inners.map((inner, i) => sealed(KEY, i, inner)));
    };
    expect(outcomeOf(withKeys, emptyThen(data([1]))).error).toBeUndefined();
    expect(outcomeOf(withKeys, emptyThen([1, HANDSHAKE])).error).toBeUndefined();
    refuses(withKeys, emptyThen([1, 90, ALERT]), "too many useless records", "unexpected_message");
  });
});

describe("change_cipher_spec", () => {
  test("tls13 1.3: it is dropped after the hello, whatever its version", () => {
    const stream = bytes(HELLO, CCS_RECORD, plain(CCS, [1], 0), HELLO);
    takes(afterHello, stream, [HELLO_HEARD, HELLO_HEARD]);
  });

  test("tls13 1.3: it is dropped among protected records and counts in no sequence number", () => {
    const stream = bytes(
      HELLO,
      CCS_RECORD,
      sealed(KEY, 0, data([1])),
      CCS_RECORD,
      sealed(KEY, 1, data([2])),
    );
    takes(withKeys, stream, [HELLO_HEARD, "23:01", "23:02"]);
  });

  test("tls13 1.3: before the ClientHello it is unexpected_message", () => {
    refuses(fresh, CCS_RECORD, "unexpected record", "unexpected_message");
    const within = bytes(plain(HANDSHAKE, [1, 0]), [CCS]);
    refusesAtOnce(fresh, within, "unexpected record", "unexpected_message");
  });

  test("tls13 1.3: after Finished it is unexpected_message", () => {
    const finished: Setting = () => {
      const { reader } = fresh();
      const sink = new Recorder((_, count) => {
        if (count === 1) reader.protect(testAead(KEY), testIv(KEY));
        reader.allowChangeCipherSpec = count === 1;
      });
      return { reader, sink };
    };
    const stream = bytes(HELLO, CCS_RECORD, sealed(KEY, 0, [20, HANDSHAKE]), [CCS]);
    refusesAtOnce(finished, stream, "unexpected record", "unexpected_message");
  });

  test("tls13 1.3: another length is unexpected_message, from the header", () => {
    for (const length of [0, 2, 300]) {
      const stream = bytes(HELLO, header(CCS, length));
      refusesAtOnce(afterHello, stream, "bad change_cipher_spec", "unexpected_message");
      refusesAtOnce(withKeys, stream, "bad change_cipher_spec", "unexpected_message");
    }
  });

  test("tls13 1.3: another body is unexpected_message", () => {
    for (const body of [0, 2, 255]) {
      const stream = bytes(HELLO, plain(CCS, [body]));
      refusesAtOnce(withKeys, stream, "bad change_cipher_spec", "unexpected_message");
    }
  });

  test("tls13 1.3: 32 in a row are dropped, the 33rd is unexpected_message", () => {
    const many = (count: number) => bytes(HELLO, ...Array<Uint8Array>(count).fill(CCS_RECORD));
    takes(withKeys, many(32), [HELLO_HEARD]);
    refuses(withKeys, many(33), "too many useless records", "unexpected_message");
    refuses(afterHello, many(33), "too many useless records", "unexpected_message");
  });

  test("tls13 1.3: it shares its count with empty application data", () => {
    const empty = Array.from({ length: 16 }, (_, i) => sealed(KEY, i, data([])));
    const stream = bytes(HELLO, ...Array<Uint8Array>(17).fill(CCS_RECORD), ...empty);
    refuses(withKeys, stream, "too many useless records", "unexpected_message");
  });

  test("tls13 1.3: between the fragments of a handshake message it is unexpected_message", () => {
    const midMessage: Setting = () => {
      const { reader } = fresh();
      const sink: Recorder = new Recorder((_, count) => {
        reader.allowChangeCipherSpec = true;
        sink.midMessage = count === 2;
      });
      return { reader, sink };
    };
    const fragment = plain(HANDSHAKE, [1]);
    takes(midMessage, bytes(HELLO, CCS_RECORD, fragment, fragment, CCS_RECORD), [
      HELLO_HEARD,
      "22:01",
      "22:01",
    ]);
    const stream = bytes(HELLO, fragment, [CCS]);
    refusesAtOnce(midMessage, stream, "interleaved handshake message", "unexpected_message");
  });
});

describe("plaintext alerts", () => {
  test("tls13 1.3: one is taken while nothing has opened under the read key", () => {
    takes(afterHello, bytes(HELLO, plain(ALERT, [2, 47])), [HELLO_HEARD, "21:022f"]);
    takes(withKeys, bytes(HELLO, plain(ALERT, [2, 47])), [HELLO_HEARD, "21:022f"]);
    takes(withKeys, bytes(HELLO, CCS_RECORD, plain(ALERT, [2, 47])), [HELLO_HEARD, "21:022f"]);
  });

  test("tls13 1.3: none is taken once a record has opened, under whatever key", () => {
    const stream = bytes(HELLO, sealed(KEY, 0, [20, HANDSHAKE]), [ALERT]);
    refusesAtOnce(withKeys, stream, "unexpected record", "unexpected_message");
  });

  test("tls13 1.3: a protected alert is taken then", () => {
    const stream = bytes(HELLO, sealed(KEY, 0, [20, HANDSHAKE]), sealed(KEY, 1, [1, 0, ALERT, 0]));
    takes(withKeys, stream, [HELLO_HEARD, "22:14", "21:0100"]);
  });
});

describe("refused 0-RTT", () => {
  const early = (length: number) => sealed(99, 0, zeros(length).fill(1));

  test("tls13 8: records that do not open are dropped until the first that does", () => {
    const stream = bytes(
      HELLO,
      early(10),
      early(300),
      sealed(KEY, 0, [20, HANDSHAKE]),
      sealed(KEY, 1, data([1])),
    );
    takes(skippingWithKeys, stream, [HELLO_HEARD, "22:14", "23:01"]);
  });

  test("tls13 8: after a good record a failed one is bad_record_mac", () => {
    const stream = bytes(HELLO, early(10), sealed(KEY, 0, [20, HANDSHAKE]), early(10));
    refuses(skippingWithKeys, stream, "bad record MAC", "bad_record_mac");
  });

  test("tls13 8: without the offer a failed record is bad_record_mac at once", () => {
    refuses(withKeys, bytes(HELLO, early(10)), "bad record MAC", "bad_record_mac");
  });

  test("tls13 8: change_cipher_spec does not end skipping, nor sets its limit back", () => {
    const stream = bytes(
      HELLO,
      CCS_RECORD,
      early(10),
      CCS_RECORD,
      early(10),
      sealed(KEY, 0, data([1])),
    );
    takes(skippingWithKeys, stream, [HELLO_HEARD, "23:01"]);
    const long = bytes(HELLO, early(8170), CCS_RECORD, early(8173));
    refuses(skippingWithKeys, long, "too much skipped early data", "unexpected_message");
  });

  test("tls13 8: what is too short to hold a tag is dropped as well", () => {
    const stream = bytes(HELLO, plain(DATA, []), plain(DATA, [1, 2, 3]), sealed(KEY, 0, data([1])));
    takes(skippingWithKeys, stream, [HELLO_HEARD, "23:01"]);
  });

  test("tls13 8: 16384 wire bytes are dropped, header and tag counted, one more is unexpected_message", () => {
    const fits = bytes(HELLO, early(16384 - 21), sealed(KEY, 0, data([1])));
    takes(skippingWithKeys, fits, [HELLO_HEARD, "23:01"]);
    const inParts = bytes(HELLO, early(8192 - 21), early(8192 - 21), sealed(KEY, 0, data([1])));
    takes(skippingWithKeys, inParts, [HELLO_HEARD, "23:01"]);
    const tooLong = bytes(HELLO, early(16384 - 20));
    refuses(skippingWithKeys, tooLong, "too much skipped early data", "unexpected_message");
    const one = bytes(HELLO, early(16384 - 21), plain(DATA, []));
    refuses(skippingWithKeys, one, "too much skipped early data", "unexpected_message");
  });

  test("tls13 8: a record that opens is taken whatever was dropped before it", () => {
    const content = zeros(2 ** 14).fill(1);
    const stream = bytes(HELLO, early(16384 - 21), sealed(KEY, 0, bytes(content, [DATA])));
    takes(skippingWithKeys, stream, [HELLO_HEARD, `23:${hex(content)}`]);
  });

  test("tls13 8: a plaintext alert is still heard", () => {
    takes(skippingWithKeys, bytes(HELLO, early(9), plain(ALERT, [2, 47])), [
      HELLO_HEARD,
      "21:022f",
    ]);
  });

  test("tls13 8: after a HelloRetryRequest application data is dropped unread until the second hello", () => {
    const stream = bytes(HELLO, early(10), plain(DATA, []), CCS_RECORD, early(300), HELLO);
    takes(skippingWithoutKeys, stream, [HELLO_HEARD, HELLO_HEARD]);
  });

  test("tls13 8: after the first piece of the second hello no more is dropped", () => {
    const stream = bytes(HELLO, early(10), plain(HANDSHAKE, [1]), [DATA]);
    refusesAtOnce(skippingWithoutKeys, stream, "unexpected record", "unexpected_message");
  });

  test("tls13 8: after a HelloRetryRequest the limit is checked by the header", () => {
    const fits = bytes(HELLO, early(16384 - 21), HELLO);
    takes(skippingWithoutKeys, fits, [HELLO_HEARD, HELLO_HEARD]);
    const tooLong = bytes(HELLO, early(8192 - 21), header(DATA, 8192 - 4));
    refusesAtOnce(
      skippingWithoutKeys,
      tooLong,
      "too much skipped early data",
      "unexpected_message",
    );
    const overflow = bytes(HELLO, header(DATA, 2 ** 14 + 257));
    refusesAtOnce(skippingWithoutKeys, overflow, "record overflow", "record_overflow");
  });

  test("tls13 8: endSkipping ends it", () => {
    const { reader, sink } = skippingWithKeys();
    reader.receive(bytes(HELLO, early(10)), sink);
    reader.endSkipping();
    expect(feed(reader, sink, early(10), []).error?.reason).toBe("bad record MAC");
  });
});

describe("behind endHandshake", () => {
  const handshake = bytes(HELLO, sealed(KEY, 0, [20, 0, 0, 0, HANDSHAKE]));

  test("what comes in the clear is refused by its first byte", () => {
    for (const type of [CCS, ALERT, HANDSHAKE, 99]) {
      const stream = bytes(handshake, [type]);
      refusesAtOnce(afterFinished, stream, "unexpected record", "unexpected_message");
    }
  });

  test("sequence numbers go on", () => {
    const stream = bytes(handshake, sealed(KEY, 1, [5, DATA]), sealed(KEY, 2, [6, DATA]));
    expect(outcomeOf(afterFinished, stream).records.slice(2)).toEqual(["23:05", "23:06"]);
  });

  test("nothing is skipped and no change_cipher_spec is taken, whoever asks for it", () => {
    const { reader, sink } = afterFinished();
    reader.receive(handshake, sink);
    expect(reader.inHandshake).toBe(false);
    reader.skipEarlyData();
    reader.allowChangeCipherSpec = true;
    expect(reader.allowChangeCipherSpec).toBe(false);
    expect(feed(reader, sink, sealed(8, 0, [5, DATA]), []).error?.reason).toBe("bad record MAC");
  });
});

describe("pieces", () => {
  const stream = bytes(
    HELLO,
    CCS_RECORD,
    sealed(KEY, 0, [20, 0, 0, 0, HANDSHAKE, ...zeros(9)]),
    sealed(KEY, 1, data([1, 2, 3])),
    sealed(KEY, 2, data([], 40)),
    sealed(KEY, 3, [1, 0, ALERT]),
  );
  const heard = [HELLO_HEARD, "22:14000000", "23:010203", "23:", "21:0100"];

  test("RecordReader hears the same however a stream is cut", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: stream.length })), (points) => {
        const { reader, sink } = withKeys();
        const cuts = points.sort((a, b) => a - b);
        expect(feed(reader, sink, stream, cuts)).toEqual({ records: heard, error: undefined });
        expect(reader.idle).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  test("RecordReader refuses the same however a damaged stream is cut", () => {
    const damage = fc.record({
      at: fc.integer({ min: 0, max: stream.length - 1 }),
      to: fc.integer({ min: 0, max: 255 }),
      points: fc.array(fc.integer({ min: 0, max: stream.length })),
    });
    const settings = [fresh, afterHello, withKeys, skippingWithKeys, skippingWithoutKeys];
    fc.assert(
      fc.property(damage, fc.constantFrom(...settings), ({ at, to, points }, setting) => {
        const damaged = stream.slice();
        damaged[at] = to;
        const run = (cuts: number[]) => {
          const { reader, sink } = setting();
          return feed(reader, sink, damaged, cuts);
        };
        const whole = run([]);
        const cut = run(points.sort((a, b) => a - b));
        expect(cut.records).toEqual(whole.records);
        expect(cut.error?.reason).toBe(whole.error?.reason);
      }),
      { numRuns: 500 },
    );
  });

  test("RecordReader throws nothing but TlsError at arbitrary bytes", () => {
    const settings = [fresh, afterHello, withKeys, skippingWithKeys, skippingWithoutKeys];
    const body = fc.uint8Array({ maxLength: 60 });
    const anything = fc.oneof(
      body,
      fc.tuple(fc.integer({ min: 19, max: 24 }), body).map(([type, body]) => plain(type, body)),
    );
    fc.assert(
      fc.property(fc.array(anything), fc.constantFrom(...settings), (chunks, setting) => {
        const { reader, sink } = setting();
        for (const prefix of [HELLO, ...chunks]) {
          if (feed(reader, sink, prefix, []).error !== undefined) return;
        }
      }),
      { numRuns: 500 },
    );
  });

  test("RecordReader is idle between records and only there", () => {
    const record = sealed(KEY, 0, data([1]));
    for (let i = 1; i < record.length; i++) {
      const { reader, sink } = withKeys();
      reader.receive(bytes(HELLO), sink);
      expect(reader.idle).toBe(true);
      reader.receive(record.slice(0, i), sink);
      expect(reader.idle).toBe(false);
      reader.receive(record.slice(i), sink);
      expect(reader.idle).toBe(true);
    }
  });

  test("RecordReader opens a record in the chunk and leaves the chunk as it was", () => {
    const { reader, sink } = withKeys();
    const before = stream.slice();
    const chunk = stream.slice();
    reader.receive(chunk, sink);
    expect(chunk).toEqual(before);
  });
});

describe("waiting", () => {
  /** Says stop at each record. */
  const stopping = () => {
    const reader = new RecordReader(DEFAULT_LIMITS);
    const sink = new Recorder((_, count) => {
      reader.allowChangeCipherSpec = true;
      if (count === 1) reader.protect(testAead(KEY), testIv(KEY));
      return false;
    });
    return { reader, sink };
  };
  const stream = bytes(HELLO, CCS_RECORD, sealed(KEY, 0, data([1])), sealed(KEY, 1, data([2])));

  test("RecordReader keeps the rest until resume, and what comes meanwhile", () => {
    for (let cut = 0; cut <= stream.length; cut++) {
      const { reader, sink } = stopping();
      reader.receive(stream.slice(0, cut), sink);
      const heard = sink.records.length;
      expect(heard).toBeLessThanOrEqual(1);
      reader.receive(stream.slice(cut), sink);
      expect(sink.records.length).toBe(1);
      reader.resume(sink);
      expect(sink.records).toEqual([HELLO_HEARD, "23:01"]);
      expect(reader.idle).toBe(false);
      reader.resume(sink);
      expect(sink.records).toEqual([HELLO_HEARD, "23:01", "23:02"]);
      expect(reader.idle).toBe(true);
      reader.resume(sink);
      expect(sink.records.length).toBe(3);
    }
  });

  test("RecordReader keeps a copy: the chunk may change", () => {
    const { reader, sink } = stopping();
    const chunk = stream.slice();
    reader.receive(chunk, sink);
    chunk.fill(0);
    reader.resume(sink);
    reader.resume(sink);
    expect(sink.records).toEqual([HELLO_HEARD, "23:01", "23:02"]);
  });

  test("RecordReader judges what it keeps by the state at resume", () => {
    const { reader, sink } = stopping();
    reader.receive(bytes(HELLO, [HANDSHAKE, 3, 3]), sink);
    expect(() => reader.resume(sink)).toThrow("unexpected record");
  });
});

describe("memory for a record that is not whole", () => {
  const whole = plain(HANDSHAKE, zeros(16384).fill(1), 0x0301);
  whole.set([1, 0x00, 0x3f, 0xfc], 5);

  test("is not more than 512 bytes or twice what has come of it", () => {
    const { reader, sink } = fresh();
    for (let at = 0; at < whole.length - 1; at++) {
      reader.receive(whole.subarray(at, at + 1), sink);
      expect(reader.heldBytes).toBeLessThanOrEqual(Math.max(512, 2 * (at + 1)));
    }
    reader.receive(whole.subarray(whole.length - 1), sink);
    expect(reader.heldBytes).toBe(0);
  });

  test("grows so that each byte moves twice at most on average", () => {
    const { reader, sink } = fresh();
    const seen = new Set<number>();
    for (let at = 0; at < whole.length - 1; at++) {
      reader.receive(whole.subarray(at, at + 1), sink);
      seen.add(reader.heldBytes);
    }
    expect(seen.size).toBeLessThanOrEqual(8);
  });

  test("is all there at once where most of it has come", () => {
    const { reader, sink } = fresh();
    reader.receive(whole.subarray(0, 10_000), sink);
    expect(reader.heldBytes).toBe(whole.length);
  });
});
