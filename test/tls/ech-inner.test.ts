import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { AlertName } from "../../src/tls/alert.ts";
import { rebuildClientHelloInner } from "../../src/tls/ech-inner.ts";
import type { Reason } from "../../src/tls/error.ts";
import { type ClientHello, parseClientHello } from "../../src/tls/wire/client-hello.ts";
import {
  ascii,
  bytes,
  concat,
  ECH,
  echOuter,
  encodedInner,
  type Ext,
  extensions,
  hello,
  HERE,
  INNER_MARK,
  OUTER_EXTENSIONS,
  outerExtensions,
  serverName,
  supportedVersions,
  u16,
  vector16,
  vector8,
  withEch,
} from "../support/ech-sender.ts";
import { expectTlsError, unlessTlsError } from "../support/expect-tls-error.ts";

const [A, B, C, D, E] = [0xa0a1, 0xb0b1, 0xc0c1, 0xd0d1, 0xe0e1].map((type): Ext => [
  type,
  ascii(`body of ${type}`),
]) as [Ext, Ext, Ext, Ext, Ext];
const VERSIONS = supportedVersions(0x0304);
const RANDOM = new Uint8Array(32).fill(0x33);
const SESSION_ID = new Uint8Array(32).fill(0x1d);

/** An outer hello with these extensions and room for a payload that opens to `encoded`. */
function outerFor(
  encoded: Uint8Array,
  extensions: readonly Ext[] = [A, D, B, HERE, C, E],
): ClientHello {
  const payload = new Uint8Array(encoded.length + 16).fill(0xee);
  const body = echOuter({ configId: 1, enc: new Uint8Array(32), payload });
  return parseClientHello(hello(withEch({ sessionId: SESSION_ID, extensions }, body)));
}

function rebuild(encoded: Uint8Array, extensions?: readonly Ext[]): Uint8Array {
  return rebuildClientHelloInner(encoded, outerFor(encoded, extensions));
}

function inner(...extensions: readonly Ext[]): Uint8Array {
  return encodedInner({ random: RANDOM, extensions });
}

/** An encoding whose extensions block holds these bytes. */
function withList(list: Uint8Array): Uint8Array {
  return concat(encodedInner({ random: RANDOM, extensions: undefined }), vector16(list));
}

/** What the client meant: the inner hello with the outer session id. */
function meant(...extensions: readonly Ext[]): Uint8Array {
  return hello({ random: RANDOM, sessionId: SESSION_ID, extensions });
}

describe("rebuildClientHelloInner", () => {
  test("ech 4: an inner hello without references gets the outer session id and a header", () => {
    expect(rebuild(inner(INNER_MARK, VERSIONS))).toEqual(meant(INNER_MARK, VERSIONS));
  });

  test("ech 4: references are replaced in place, in the outer's words", () => {
    const encoded = inner(INNER_MARK, outerExtensions(A[0], D[0], B[0]), VERSIONS);
    expect(rebuild(encoded)).toEqual(meant(INNER_MARK, A, D, B, VERSIONS));
  });

  test("ech 4: the outer order may interleave other extensions, ECH among them", () => {
    const encoded = inner(INNER_MARK, outerExtensions(A[0], B[0], C[0]), VERSIONS);
    expect(rebuild(encoded, [A, D, B, HERE, C, E])).toEqual(meant(INNER_MARK, A, B, C, VERSIONS));
  });

  test("ech 4: references may come first, last, or alone", () => {
    expect(rebuild(inner(outerExtensions(A[0]), INNER_MARK))).toEqual(meant(A, INNER_MARK));
    expect(rebuild(inner(INNER_MARK, outerExtensions(E[0])))).toEqual(meant(INNER_MARK, E));
    expect(rebuild(inner(outerExtensions(C[0])))).toEqual(meant(C));
  });

  test("ech 4: an empty body in the outer hello is copied as such", () => {
    const empty: Ext = [0x1234, bytes()];
    expect(rebuild(inner(outerExtensions(empty[0])), [A, empty])).toEqual(meant(empty));
  });

  test("ech 4: zeros at the end are padding, any number of them", () => {
    for (const padding of [0, 1, 31, 5000]) {
      const encoded = encodedInner({ random: RANDOM, extensions: [INNER_MARK] }, padding);
      expect(rebuild(encoded)).toEqual(meant(INNER_MARK));
    }
  });

  test("ech 4: an outer hello with an empty session id gives an inner one with an empty session id", () => {
    const encoded = inner(INNER_MARK);
    const body = echOuter({
      configId: 1,
      enc: bytes(),
      payload: new Uint8Array(encoded.length + 16),
    });
    const outer = parseClientHello(hello(withEch({ sessionId: bytes(), extensions: [A] }, body)));
    expect(rebuildClientHelloInner(encoded, outer)).toEqual(
      hello({ random: RANDOM, sessionId: bytes(), extensions: [INNER_MARK] }),
    );
  });

  test("The result shares no memory with what it was made of", () => {
    const encoded = inner(INNER_MARK, outerExtensions(A[0]));
    const outer = outerFor(encoded);
    const rebuilt = rebuildClientHelloInner(encoded, outer);
    encoded.fill(0xff);
    outer.bytes.fill(0xff);
    expect(rebuilt).toEqual(meant(INNER_MARK, A));
  });
});

describe("rebuildClientHelloInner refuses", () => {
  const rows: readonly [
    what: string,
    encoded: Uint8Array,
    reason: Reason,
    alert: AlertName,
    outer?: readonly Ext[],
  ][] = [
    [
      "a missing extensions block",
      encodedInner({ extensions: undefined }),
      "message too short",
      "decode_error",
    ],
    ["nothing at all", bytes(), "message too short", "decode_error"],
    [
      "a session id in the encoding",
      concat(u16(0x0303), RANDOM, vector8(bytes(0)), u16(2), u16(0x1301), bytes(1, 0), u16(0)),
      "inner hello with a session id",
      "decode_error",
    ],
    [
      "a trailing byte that is not zero",
      concat(inner(INNER_MARK), bytes(1)),
      "inner hello not zero-padded",
      "illegal_parameter",
    ],
    [
      "a byte that is not zero in the midst of the padding",
      concat(inner(INNER_MARK), new Uint8Array(20), bytes(0x80), new Uint8Array(20)),
      "inner hello not zero-padded",
      "illegal_parameter",
    ],
    [
      "a byte that is not zero at the end of the padding",
      concat(inner(INNER_MARK), new Uint8Array(40), bytes(1)),
      "inner hello not zero-padded",
      "illegal_parameter",
    ],
    [
      "references of odd length",
      inner([OUTER_EXTENSIONS, vector8(bytes(A[0] >> 8, A[0] & 0xff, 0))]),
      "odd vector length",
      "decode_error",
    ],
    ["no references", inner([OUTER_EXTENSIONS, bytes(0)]), "vector too short", "decode_error"],
    [
      "references without a length",
      inner([OUTER_EXTENSIONS, bytes()]),
      "message too short",
      "decode_error",
    ],
    [
      "references cut short",
      inner([OUTER_EXTENSIONS, bytes(4, A[0] >> 8, A[0] & 0xff)]),
      "message too short",
      "decode_error",
    ],
    [
      "bytes behind the references",
      inner([OUTER_EXTENSIONS, concat(vector8(u16(A[0])), bytes(0))]),
      "trailing bytes",
      "decode_error",
    ],
    [
      "a reference to encrypted_client_hello",
      inner(outerExtensions(A[0], ECH)),
      "bad ech_outer_extensions",
      "illegal_parameter",
    ],
    [
      "a reference to what the outer hello lacks",
      inner(outerExtensions(A[0], 0x7777)),
      "bad ech_outer_extensions",
      "illegal_parameter",
    ],
    [
      "a reference twice",
      inner(outerExtensions(A[0], B[0], B[0])),
      "bad ech_outer_extensions",
      "illegal_parameter",
    ],
    [
      "references out of the outer order",
      inner(outerExtensions(B[0], D[0])),
      "bad ech_outer_extensions",
      "illegal_parameter",
    ],
    [
      "a reference to ech_outer_extensions",
      inner(outerExtensions(OUTER_EXTENSIONS)),
      "bad ech_outer_extensions",
      "illegal_parameter",
    ],
    [
      "ech_outer_extensions twice",
      inner(outerExtensions(A[0]), INNER_MARK, outerExtensions(B[0])),
      "bad ech_outer_extensions",
      "illegal_parameter",
    ],
    [
      "ech_outer_extensions in the outer hello, not referenced",
      inner(INNER_MARK),
      "bad ech_outer_extensions",
      "illegal_parameter",
      [A, outerExtensions(B[0]), HERE],
    ],
    [
      "ech_outer_extensions in the outer hello, referenced",
      inner(INNER_MARK, outerExtensions(A[0], OUTER_EXTENSIONS)),
      "bad ech_outer_extensions",
      "illegal_parameter",
      [A, outerExtensions(B[0]), HERE],
    ],
    [
      "an extension that overruns the list",
      withList(concat(u16(A[0]), u16(3), bytes(0, 0))),
      "message too short",
      "decode_error",
    ],
    [
      "less than an extension at the end of the list",
      withList(concat(extensions([INNER_MARK]), bytes(0, 43, 0))),
      "message too short",
      "decode_error",
    ],
  ];
  for (const [what, encoded, reason, alert, outer] of rows) {
    test(`ech 4: ${what}: ${alert}`, () => {
      expectTlsError(() => rebuild(encoded, outer), reason, alert);
    });
  }

  test("ech 4: duplicates of the rebuilt hello are left to the parser, which refuses them", () => {
    const rebuilt = rebuild(inner(INNER_MARK, A, outerExtensions(A[0])));
    expectTlsError(() => parseClientHello(rebuilt), "duplicate extension", "decode_error");
  });

  test("ech 4: every prefix of an encoding", () => {
    const whole = inner(INNER_MARK, outerExtensions(A[0], B[0]), VERSIONS, serverName("a.example"));
    for (let length = 0; length < whole.length; length++) {
      const prefix = whole.slice(0, length);
      expectTlsError(() => rebuild(prefix), "message too short", "decode_error");
    }
  });
});

describe("rebuildClientHelloInner, whatever it is given", () => {
  const whole = encodedInner({
    random: RANDOM,
    extensions: [INNER_MARK, outerExtensions(A[0], B[0], C[0]), VERSIONS, serverName("a.example")],
  }, 12);

  function holds(encoded: Uint8Array): void {
    const outer = outerFor(encoded);
    const rebuilt = unlessTlsError(() => rebuildClientHelloInner(encoded, outer));
    if (rebuilt === undefined) return;
    expect(rebuilt.length).toBeLessThan(outer.bytes.length);
    unlessTlsError(() => parseClientHello(rebuilt).checkExtensions());
  }

  test("throws nothing but TlsError and never grows, on arbitrary bytes", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), holds), { numRuns: 500 });
  });

  test("throws nothing but TlsError and never grows, on arbitrary lists of extensions", () => {
    const type = fc.oneof(
      fc.constantFrom(A[0], B[0], C[0], D[0], E[0], ECH, OUTER_EXTENSIONS, 43, 0),
      fc.nat(0xffff),
    );
    const references = fc.array(type, { maxLength: 12 }).map((types) => outerExtensions(...types));
    const other = fc.tuple(type, fc.uint8Array({ maxLength: 20 }));
    fc.assert(
      fc.property(
        fc.array(fc.oneof(references, other), { maxLength: 12 }),
        fc.nat(40),
        (extensions, padding) => holds(encodedInner({ extensions }, padding)),
      ),
      { numRuns: 500 },
    );
  });

  test("throws nothing but TlsError and never grows, on mutations of a good encoding", () => {
    const flip = fc.record({ at: fc.nat(whole.length - 1), value: fc.nat(255) });
    fc.assert(
      fc.property(
        fc.array(flip, { minLength: 1, maxLength: 4 }),
        fc.nat(whole.length),
        (flips, length) => {
          const encoded = whole.slice();
          for (const { at, value } of flips) encoded[at] = value;
          holds(encoded);
          holds(encoded.slice(0, length));
        },
      ),
      { numRuns: 500 },
    );
  });

  test("ech 4: takes time linear in the outer hello, thousands of extensions and all references in use", () => {
    // Eight times the extensions and the references: linear work grows 8-fold, a search per reference 64-fold.
    const small = work(480, 15);
    const large = work(3840, 120);
    expect(large.outer.bytes.length).toBeLessThanOrEqual(16384 + 4);
    fastest(large, 20); // compile
    expect(fastest(large, 40) / fastest(small, 40)).toBeLessThan(32);
  });
});

interface Work {
  readonly encoded: Uint8Array;
  readonly outer: ClientHello;
}

/** References evenly spread over an outer list of empty extensions, the last one at its end. */
function work(extensionCount: number, referenceCount: number): Work {
  const list = Array.from({ length: extensionCount }, (_, i): Ext => [0x1000 + i, bytes()]);
  const step = extensionCount / referenceCount;
  const types = Array.from({ length: referenceCount }, (_, i) => list[(i + 1) * step - 1]![0]);
  const encoded = inner(INNER_MARK, VERSIONS, outerExtensions(...types));
  return { encoded, outer: outerFor(encoded, list) };
}

/** Milliseconds of the fastest of `rounds`; each rebuilds and parses a few times. */
function fastest({ encoded, outer }: Work, rounds: number): number {
  let best = Infinity;
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    for (let i = 0; i < 20; i++) parseClientHello(rebuildClientHelloInner(encoded, outer));
    best = Math.min(best, performance.now() - start);
  }
  return best;
}
