import { describe, expect, test } from "vitest";
import {
  decodeCertificate,
  decodeCompressedCertificate,
  encodeCertificate,
  encodeCompressedCertificate,
} from "../../../src/tls/wire/certificate.ts";
import {
  decodeCertificateRequest,
  encodeCertificateRequest,
} from "../../../src/tls/wire/certificate-request.ts";
import {
  certificateVerifyContent,
  decodeCertificateVerify,
  encodeCertificateVerify,
} from "../../../src/tls/wire/certificate-verify.ts";
import {
  decodeEncryptedExtensions,
  encodeEncryptedExtensions,
} from "../../../src/tls/wire/encrypted-extensions.ts";
import { decodeFinished, encodeFinished } from "../../../src/tls/wire/finished.ts";
import { decodeKeyUpdate, encodeKeyUpdate } from "../../../src/tls/wire/key-update.ts";
import {
  decodeNewSessionTicket,
  encodeNewSessionTicket,
} from "../../../src/tls/wire/new-session-ticket.ts";
import {
  decodeServerHello,
  encodeHelloRetryRequest,
  encodeServerHello,
  HELLO_RETRY_REQUEST_RANDOM,
  SERVER_RANDOM_AT,
} from "../../../src/tls/wire/server-hello.ts";
import { Writer } from "../../../src/tls/wire/writer.ts";
import {
  ascii,
  type Bytes,
  codes,
  type Ext,
  extensionBytes,
  filled,
  message,
  reframe,
  refusal,
  u16,
  u32,
  vector16,
  vector24,
  vector8,
} from "./hello.ts";

const bytes = (list: Bytes) => new Uint8Array(list);
const EMPTY = bytes([]);
const LIMITS = { maxCertificateEntries: 3 };
const ALL = { ocsp: true, sct: true };
const NONE = { ocsp: false, sct: false };

function written(encode: (w: Writer) => void): Uint8Array {
  const w = new Writer(1);
  encode(w);
  return w.copy();
}

const RANDOM = bytes(filled(32, 0x31));
const SESSION_ID = bytes(filled(32, 0x55));
const SCTS = bytes(vector16(vector16([1, 2, 3])));

/** One of each, whole, with what decodes it. */
const MESSAGES: readonly (readonly [
  name: string,
  whole: Uint8Array,
  decode: (message: Uint8Array) => unknown,
])[] = [
  [
    "ServerHello",
    written((w) =>
      encodeServerHello(w, {
        random: RANDOM,
        sessionId: SESSION_ID,
        cipherSuite: 0x1301,
        keyShare: { group: 0x1d, keyExchange: bytes(filled(32, 9)) },
        selectedIdentity: 1,
      })
    ),
    decodeServerHello,
  ],
  [
    "HelloRetryRequest",
    written((w) =>
      encodeHelloRetryRequest(w, {
        sessionId: SESSION_ID,
        cipherSuite: 0x1302,
        group: 0x17,
        ech: bytes(filled(8, 5)),
      })
    ),
    decodeServerHello,
  ],
  [
    "EncryptedExtensions",
    written((w) =>
      encodeEncryptedExtensions(w, {
        serverName: true,
        alpn: "h2",
        recordSizeLimit: 16385,
        supportedGroups: [0x11ec, 0x1d],
        expectedTickets: 2,
        retryConfigs: bytes(filled(20, 6)),
      })
    ),
    decodeEncryptedExtensions,
  ],
  [
    "CertificateRequest",
    written((w) =>
      encodeCertificateRequest(w, {
        signatureSchemes: [0x0403, 0x0804],
        authorities: [bytes([1, 2]), bytes([3])],
        compression: [2, 1],
      })
    ),
    decodeCertificateRequest,
  ],
  [
    "Certificate",
    written((w) =>
      encodeCertificate(w, {
        chain: [bytes(filled(40, 1)), bytes(filled(30, 2))],
        ocspResponse: bytes(filled(10, 3)),
        scts: SCTS,
      })
    ),
    (whole) => decodeCertificate(whole, LIMITS, ALL),
  ],
  [
    "CompressedCertificate",
    written((w) => encodeCompressedCertificate(w, 2, 1000, bytes(filled(50, 1)))),
    decodeCompressedCertificate,
  ],
  [
    "CertificateVerify",
    written((w) => encodeCertificateVerify(w, 0x0403, bytes(filled(70, 1)))),
    decodeCertificateVerify,
  ],
  ["KeyUpdate", written((w) => encodeKeyUpdate(w, true)), decodeKeyUpdate],
  [
    "NewSessionTicket",
    written((w) =>
      encodeNewSessionTicket(w, {
        lifetimeSeconds: 604800,
        ageAdd: 0xfedcba98,
        nonce: bytes([0]),
        ticket: bytes(filled(200, 1)),
        grease: 0x3a3a,
      })
    ),
    decodeNewSessionTicket,
  ],
];

describe.each(MESSAGES)("%s", (_, whole, decode) => {
  test("is read whole", () => {
    expect(refusal(() => decode(whole))).toBe("no refusal");
  });

  test("is refused at every prefix", () => {
    for (let n = 0; n < whole.length; n++) {
      expect(refusal(() => decode(whole.subarray(0, n)))).toBe("message too short -> decode_error");
    }
  });

  test("is refused at every prefix that says its own length", () => {
    for (let n = 4; n < whole.length; n++) {
      const answer = refusal(() => decode(reframe(whole.subarray(0, n))));
      // A ServerHello may end before its extensions: TLS 1.2 had none.
      if (decode === decodeServerHello && n === 4 + 38 + 32) expect(answer).toBe("no refusal");
      else expect(answer, `${n} bytes`).toMatch(/ -> decode_error$/);
    }
  });

  test("tls13 5: is refused with one byte more", () => {
    const longer = new Uint8Array([...whole, 0]);
    expect(refusal(() => decode(longer))).toBe("trailing bytes -> decode_error");
    expect(refusal(() => decode(reframe(longer)))).toBe("trailing bytes -> decode_error");
  });

  test("is no other message", () => {
    const other = whole.slice();
    other[0] = 99;
    expect(refusal(() => decode(other))).toBe("unexpected message -> unexpected_message");
  });
});

describe("ServerHello", () => {
  const [, whole] = MESSAGES[0]!;

  test("is written as RFC 9846 §4.2.3 has it", () => {
    expect(whole).toEqual(message(2, [
      3,
      3,
      ...RANDOM,
      ...vector8([...SESSION_ID]),
      0x13,
      1,
      0,
      ...vector16(extensionBytes([
        [43, [3, 4]],
        [51, [0, 0x1d, ...vector16(filled(32, 9))]],
        [41, [0, 1]],
      ])),
    ]));
    expect(whole.subarray(SERVER_RANDOM_AT, SERVER_RANDOM_AT + 32)).toEqual(RANDOM);
  });

  test("is read back", () => {
    expect(decodeServerHello(whole)).toEqual({
      isRetry: false,
      legacyVersion: 0x0303,
      random: RANDOM,
      sessionId: SESSION_ID,
      cipherSuite: 0x1301,
      selectedVersion: 0x0304,
      keyShare: { group: 0x1d, keyExchange: bytes(filled(32, 9)) },
      selectedIdentity: 1,
      extensionTypes: [43, 51, 41],
    });
  });

  const hello = (extensions: readonly Ext[] | null, random: Bytes = [...RANDOM], compression = 0) =>
    message(2, [
      3,
      3,
      ...random,
      0,
      0x13,
      1,
      compression,
      ...(extensions === null ? [] : vector16(extensionBytes(extensions))),
    ]);

  test("without supported_versions is of its legacy_version", () => {
    expect(decodeServerHello(hello([]))).toMatchObject({ selectedVersion: 0x0303 });
    expect(decodeServerHello(hello(null))).toMatchObject({ extensionTypes: [] });
  });

  test.each<readonly [string, Uint8Array, string]>([
    [
      "a compression method",
      hello([], [...RANDOM], 1),
      "bad compression methods -> illegal_parameter",
    ],
    [
      "an extension twice",
      hello([[43, [3, 4]], [43, [3, 4]]]),
      "duplicate extension -> decode_error",
    ],
    ["an empty key_exchange", hello([[51, [0, 0x1d, 0, 0]]]), "vector too short -> decode_error"],
    ["a longer selected_identity", hello([[41, [0, 0, 0]]]), "trailing bytes -> decode_error"],
    [
      "a session id of 33 bytes",
      message(2, [3, 3, ...RANDOM, ...vector8(filled(33)), 0x13, 1, 0]),
      "vector too long -> decode_error",
    ],
    [
      "an ECH signal of 7 bytes in a retry",
      hello([[0xfe0d, filled(7)]], [...HELLO_RETRY_REQUEST_RANDOM]),
      "message too short -> decode_error",
    ],
    [
      "an ECH signal of 9 bytes in a retry",
      hello([[0xfe0d, filled(9)]], [...HELLO_RETRY_REQUEST_RANDOM]),
      "trailing bytes -> decode_error",
    ],
    [
      "an empty cookie in a retry",
      hello([[44, [0, 0]]], [...HELLO_RETRY_REQUEST_RANDOM]),
      "vector too short -> decode_error",
    ],
  ])("with %s is refused", (_, whole, answer) => {
    expect(refusal(() => decodeServerHello(whole))).toBe(answer);
  });

  test("names every extension, known or not", () => {
    expect(decodeServerHello(hello([[0x1a1a, [1]], [43, [3, 4]], [0xfe0d, [1]]])))
      .toMatchObject({ extensionTypes: [0x1a1a, 43, 0xfe0d], ech: bytes([1]) });
  });
});

describe("HelloRetryRequest", () => {
  const [, whole] = MESSAGES[1]!;

  test("is a ServerHello with the random of RFC 9846 §4.2.3", () => {
    expect(HELLO_RETRY_REQUEST_RANDOM[0]).toBe(0xcf);
    expect(HELLO_RETRY_REQUEST_RANDOM.length).toBe(32);
    expect(whole).toEqual(message(2, [
      3,
      3,
      ...HELLO_RETRY_REQUEST_RANDOM,
      ...vector8([...SESSION_ID]),
      0x13,
      2,
      0,
      ...vector16(extensionBytes([[43, [3, 4]], [51, [0, 0x17]], [0xfe0d, filled(8, 5)]])),
    ]));
  });

  test("ech 5: ends in the 8 bytes of the signal", () => {
    expect(whole.subarray(-8)).toEqual(bytes(filled(8, 5)));
  });

  test("is read back", () => {
    expect(decodeServerHello(whole)).toMatchObject({
      isRetry: true,
      cipherSuite: 0x1302,
      selectedVersion: 0x0304,
      keyShare: { group: 0x17, keyExchange: EMPTY },
      ech: bytes(filled(8, 5)),
    });
  });
});

describe("EncryptedExtensions", () => {
  const nothing = {
    serverName: false,
    alpn: undefined,
    recordSizeLimit: undefined,
    supportedGroups: undefined,
    expectedTickets: undefined,
    retryConfigs: undefined,
  };

  test("may be empty", () => {
    const whole = written((w) => encodeEncryptedExtensions(w, nothing));
    expect(whole).toEqual(message(8, [0, 0]));
    expect(decodeEncryptedExtensions(whole)).toEqual({ ...nothing, earlyData: false, types: [] });
  });

  test("is written and read back", () => {
    const [, whole] = MESSAGES[2]!;
    expect(whole).toEqual(message(
      8,
      vector16(extensionBytes([
        [0, []],
        [10, vector16(codes([0x11ec, 0x1d]))],
        [16, vector16(vector8(ascii("h2")))],
        [28, [0x40, 1]],
        [58, [2]],
        [0xfe0d, filled(20, 6)],
      ])),
    ));
    expect(decodeEncryptedExtensions(whole)).toEqual({
      serverName: true,
      alpn: "h2",
      recordSizeLimit: 16385,
      supportedGroups: [0x11ec, 0x1d],
      expectedTickets: 2,
      retryConfigs: bytes(filled(20, 6)),
      earlyData: false,
      types: [0, 10, 16, 28, 58, 0xfe0d],
    });
  });

  const read = (...extensions: readonly Ext[]) =>
    decodeEncryptedExtensions(message(8, vector16(extensionBytes(extensions))));

  test.each<readonly [string, readonly Ext[], string]>([
    ["a non-empty server_name", [[0, [0]]], "trailing bytes -> decode_error"],
    [
      "two protocols",
      [[16, vector16([...vector8([1]), ...vector8([2])])]],
      "trailing bytes -> decode_error",
    ],
    ["no protocol", [[16, [0, 0]]], "message too short -> decode_error"],
    ["an empty protocol", [[16, [0, 1, 0]]], "vector too short -> decode_error"],
    ["a record_size_limit of 63", [[28, [0, 63]]], "bad record_size_limit -> illegal_parameter"],
    ["an odd list of groups", [[10, [0, 3, 0, 1, 2]]], "odd vector length -> decode_error"],
    ["an extension twice", [[0x1a1a, []], [0x1a1a, []]], "duplicate extension -> decode_error"],
    ["a non-empty early_data", [[42, [0]]], "trailing bytes -> decode_error"],
  ])("with %s is refused", (_, extensions, answer) => {
    expect(refusal(() => read(...extensions))).toBe(answer);
  });

  test("tells an accepted early_data, and names what it does not know", () => {
    expect(read([42, []], [0x2a2a, [1, 2]])).toMatchObject({
      earlyData: true,
      types: [42, 0x2a2a],
    });
  });
});

describe("CertificateRequest", () => {
  test("is written and read back", () => {
    const [, whole] = MESSAGES[3]!;
    expect(whole).toEqual(message(13, [
      0,
      ...vector16(extensionBytes([
        [13, vector16(codes([0x0403, 0x0804]))],
        [27, vector8(codes([2, 1]))],
        [47, vector16([...vector16([1, 2]), ...vector16([3])])],
      ])),
    ]));
    expect(decodeCertificateRequest(whole)).toEqual({
      context: EMPTY,
      signatureSchemes: [0x0403, 0x0804],
      authorities: [bytes([1, 2]), bytes([3])],
      compression: [2, 1],
      wantsOcsp: false,
      wantsSct: false,
      types: [13, 27, 47],
    });
  });

  test("leaves out what is empty", () => {
    const whole = written((w) =>
      encodeCertificateRequest(w, { signatureSchemes: [0x0403], authorities: [], compression: [] })
    );
    expect(decodeCertificateRequest(whole).types).toEqual([13]);
  });

  test("needs signature_algorithms", () => {
    expect(refusal(() => decodeCertificateRequest(message(13, [0, 0, 0]))))
      .toBe("missing signature_algorithms -> missing_extension");
  });

  test("tells what else the client may staple", () => {
    const schemes: Ext = [13, vector16([4, 3])];
    const whole = message(13, [
      ...vector8([9]),
      ...vector16(extensionBytes([schemes, [5, []], [18, []]])),
    ]);
    expect(decodeCertificateRequest(whole))
      .toMatchObject({ context: bytes([9]), wantsOcsp: true, wantsSct: true });
  });
});

describe("Certificate", () => {
  test("is written and read back", () => {
    const [, whole, decode] = MESSAGES[4]!;
    expect(whole).toEqual(message(11, [
      0,
      ...vector24([
        ...vector24(filled(40, 1)),
        ...vector16(extensionBytes([[5, [1, ...vector24(filled(10, 3))]], [18, [...SCTS]]])),
        ...vector24(filled(30, 2)),
        0,
        0,
      ]),
    ]));
    expect(decode(whole)).toEqual({
      context: EMPTY,
      chain: [bytes(filled(40, 1)), bytes(filled(30, 2))],
      ocspResponse: bytes(filled(10, 3)),
      scts: SCTS,
    });
  });

  test("may have a context, and no chain", () => {
    const whole = written((w) =>
      encodeCertificate(w, {
        chain: [],
        ocspResponse: undefined,
        scts: undefined,
        context: bytes([7]),
      })
    );
    expect(whole).toEqual(message(11, [1, 7, 0, 0, 0]));
    expect(decodeCertificate(whole, LIMITS, NONE)).toEqual({ context: bytes([7]), chain: [] });
  });

  const entry = (extensions: readonly Ext[], data: Bytes = [9]) => [
    ...vector24(data),
    ...vector16(extensionBytes(extensions)),
  ];
  const list = (...entries: readonly Bytes[]) => message(11, [0, ...vector24(entries.flat())]);
  const status: Ext = [5, [1, ...vector24([1])]];
  const scts: Ext = [18, [...SCTS]];
  const unsolicited = "unsolicited certificate extension -> unsupported_extension";
  const misplaced = "extension not allowed here -> illegal_parameter";
  const repeated = "repeated certificate extension -> illegal_parameter";

  test.each<readonly [string, Uint8Array, { ocsp: boolean; sct: boolean }, string]>([
    [
      "an OCSP response that was not asked for",
      list(entry([status])),
      { ocsp: false, sct: true },
      unsolicited,
    ],
    ["SCTs that were not asked for", list(entry([scts])), { ocsp: true, sct: false }, unsolicited],
    ["an unknown extension", list(entry([[0x1a1a, []]])), ALL, unsolicited],
    ["the same in a later entry", list(entry([]), entry([[0x1a1a, []]])), ALL, unsolicited],
    ["certificate_authorities", list(entry([[47, [0, 0]]])), ALL, misplaced],
    ["oid_filters", list(entry([[48, [0, 0]]])), ALL, misplaced],
    ["signature_algorithms", list(entry([[13, [0, 0]]])), ALL, misplaced],
    ["status_request twice", list(entry([status, status])), ALL, repeated],
    ["SCTs twice", list(entry([scts, scts])), ALL, repeated],
    ["the same in two entries", list(entry([status]), entry([status, scts])), ALL, "no refusal"],
    [
      "another status type",
      list(entry([[5, [2, ...vector24([1])]]])),
      ALL,
      "bad certificate status type -> decode_error",
    ],
    [
      "an empty OCSP response",
      list(entry([[5, [1, 0, 0, 0]]])),
      ALL,
      "vector too short -> decode_error",
    ],
    [
      "bytes behind the OCSP response",
      list(entry([[5, [1, 0, 0, 1, 1, 0]]])),
      ALL,
      "trailing bytes -> decode_error",
    ],
    ["no status", list(entry([[5, []]])), ALL, "message too short -> decode_error"],
    ["an empty list of SCTs", list(entry([[18, [0, 0]]])), ALL, "vector too short -> decode_error"],
    ["an empty SCT", list(entry([[18, [0, 2, 0, 0]]])), ALL, "vector too short -> decode_error"],
    [
      "bytes behind the SCTs",
      list(entry([[18, [...SCTS, 0]]])),
      ALL,
      "trailing bytes -> decode_error",
    ],
    ["cert_data of length 0", list(entry([], [])), NONE, "vector too short -> decode_error"],
    ["an entry without extensions", list(vector24([1])), NONE, "message too short -> decode_error"],
    [
      "an extension that is cut",
      list([...vector24([1]), ...vector16([0, 5, 0])]),
      NONE,
      "message too short -> decode_error",
    ],
    ["as many entries as allowed", list(entry([]), entry([]), entry([])), NONE, "no refusal"],
    [
      "one entry too many",
      list(entry([]), entry([]), entry([]), entry([])),
      NONE,
      "too many certificates -> decode_error",
    ],
  ])("tls13 5: %s", (_, whole, requested, answer) => {
    expect(refusal(() => decodeCertificate(whole, LIMITS, requested))).toBe(answer);
  });
});

describe("CompressedCertificate", () => {
  test("tls13 11: is written and read back", () => {
    const [, whole, decode] = MESSAGES[5]!;
    expect(whole).toEqual(message(25, [0, 2, 0, 3, 0xe8, ...vector24(filled(50, 1))]));
    expect(decode(whole))
      .toEqual({ algorithm: 2, uncompressedLength: 1000, data: bytes(filled(50, 1)) });
  });

  test("tls13 11: without data is a decode error", () => {
    expect(refusal(() => decodeCompressedCertificate(message(25, [0, 2, 0, 0, 0, 0, 0, 0]))))
      .toBe("vector too short -> decode_error");
  });
});

describe("CertificateVerify", () => {
  test("is written and read back", () => {
    const [, whole, decode] = MESSAGES[6]!;
    expect(whole).toEqual(message(15, [4, 3, ...vector16(filled(70, 1))]));
    expect(decode(whole)).toEqual({ scheme: 0x0403, signature: bytes(filled(70, 1)) });
  });

  test("tls13 3: signs 64 spaces, its label, a zero and the hash", () => {
    const hash = bytes(filled(32, 1));
    for (const signer of ["server", "client"] as const) {
      expect(certificateVerifyContent(signer, hash)).toEqual(bytes([
        ...filled(64, 0x20),
        ...ascii(`TLS 1.3, ${signer} CertificateVerify`),
        0,
        ...hash,
      ]));
    }
  });
});

describe("Finished", () => {
  test("is written and read back", () => {
    const whole = written((w) => encodeFinished(w, bytes(filled(48, 1))));
    expect(whole).toEqual(message(20, filled(48, 1)));
    expect(decodeFinished(whole)).toEqual(bytes(filled(48, 1)));
  });

  test("tls13 5: of a wrong length parses: it is for its comparison to refuse", () => {
    expect(decodeFinished(message(20, [])).length).toBe(0);
    expect(decodeFinished(message(20, filled(33))).length).toBe(33);
    expect(refusal(() => decodeFinished(bytes([20, 0, 0, 1])))).toBe(
      "message too short -> decode_error",
    );
    expect(refusal(() => decodeFinished(bytes([20, 0, 0, 0, 0])))).toBe(
      "trailing bytes -> decode_error",
    );
  });
});

describe("KeyUpdate", () => {
  test("is written and read back", () => {
    for (const requested of [true, false]) {
      expect(decodeKeyUpdate(written((w) => encodeKeyUpdate(w, requested)))).toBe(requested);
    }
    expect(written((w) => encodeKeyUpdate(w, true))).toEqual(bytes([24, 0, 0, 1, 1]));
  });

  test("tls13 9: has a body of 0 or 1, of one byte", () => {
    for (const value of [2, 255]) {
      expect(refusal(() => decodeKeyUpdate(message(24, [value]))))
        .toBe("bad KeyUpdate -> illegal_parameter");
    }
    expect(refusal(() => decodeKeyUpdate(message(24, [])))).toBe(
      "message too short -> decode_error",
    );
    expect(refusal(() => decodeKeyUpdate(message(24, [2, 0])))).toBe(
      "trailing bytes -> decode_error",
    );
  });
});

describe("NewSessionTicket", () => {
  test("is written and read back", () => {
    const [, whole, decode] = MESSAGES[8]!;
    expect(whole).toEqual(message(4, [
      ...u32(604800),
      ...u32(0xfedcba98),
      ...vector8([0]),
      ...vector16(filled(200, 1)),
      ...vector16(extensionBytes([[0x3a3a, []]])),
    ]));
    expect(decode(whole)).toEqual({
      lifetimeSeconds: 604800,
      ageAdd: 0xfedcba98,
      nonce: bytes([0]),
      ticket: bytes(filled(200, 1)),
      types: [0x3a3a],
    });
  });

  const ticket = (extensions: readonly Ext[], ticket: Bytes = [1]) =>
    message(4, [
      ...u32(1),
      ...u32(2),
      0,
      ...vector16(ticket),
      ...vector16(extensionBytes(extensions)),
    ]);

  test("tells how much 0-RTT is taken", () => {
    expect(decodeNewSessionTicket(ticket([[42, u32(0xffffffff)]])).maxEarlyDataSize).toBe(
      0xffffffff,
    );
    expect(decodeNewSessionTicket(ticket([])).maxEarlyDataSize).toBeUndefined();
  });

  test.each<readonly [string, Uint8Array, string]>([
    ["an empty ticket", ticket([], []), "vector too short -> decode_error"],
    ["a short early_data", ticket([[42, u16(0)]]), "message too short -> decode_error"],
    ["a long early_data", ticket([[42, [...u32(0), 0]]]), "trailing bytes -> decode_error"],
    [
      "an extension twice",
      ticket([[0x3a3a, []], [0x3a3a, []]]),
      "duplicate extension -> decode_error",
    ],
  ])("with %s is refused", (_, whole, answer) => {
    expect(refusal(() => decodeNewSessionTicket(whole))).toBe(answer);
  });
});
