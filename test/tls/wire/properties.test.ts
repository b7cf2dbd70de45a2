import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TlsError } from "../../../src/tls/error.ts";
import {
  decodeCertificate,
  decodeCompressedCertificate,
} from "../../../src/tls/wire/certificate.ts";
import { decodeCertificateRequest } from "../../../src/tls/wire/certificate-request.ts";
import { decodeCertificateVerify } from "../../../src/tls/wire/certificate-verify.ts";
import { checkSecondClientHello, parseClientHello } from "../../../src/tls/wire/client-hello.ts";
import { decodeEchClientHello } from "../../../src/tls/wire/ech-client-hello.ts";
import {
  decodeEchConfigList,
  encodeEchConfig,
  encodeEchConfigList,
  isPublicName,
} from "../../../src/tls/wire/ech-config.ts";
import { decodeEncryptedExtensions } from "../../../src/tls/wire/encrypted-extensions.ts";
import { decodeFinished } from "../../../src/tls/wire/finished.ts";
import { decodeKeyUpdate } from "../../../src/tls/wire/key-update.ts";
import { decodeNewSessionTicket } from "../../../src/tls/wire/new-session-ticket.ts";
import { decodeServerHello } from "../../../src/tls/wire/server-hello.ts";
import {
  alpn,
  ascii,
  change,
  compression,
  type Ext,
  extensionBytes,
  filled,
  groups,
  helloBytes,
  message,
  modes,
  PLAIN,
  psks,
  read,
  recordSizeLimit,
  reframe,
  schemes,
  shares,
  sni,
  u16,
  u32,
  vector16,
  vector24,
  vector8,
  versions,
} from "./hello.ts";

const KNOWN = [
  0,
  1,
  5,
  10,
  13,
  16,
  18,
  21,
  27,
  28,
  41,
  42,
  43,
  44,
  45,
  47,
  48,
  49,
  50,
  51,
  58,
  0xfd00,
  0xfe0d,
];

/** All that a server does with a hello. */
function useClientHello(bytes: Uint8Array): void {
  const hello = parseClientHello(bytes);
  hello.offersVersion(0x0304);
  if (hello.echAt >= 0) ignoringTlsErrors(() => decodeEchClientHello(hello));
  hello.checkExtensions();
  ignoringTlsErrors(() => hello.checkKeyShares());
  ignoringTlsErrors(() => checkSecondClientHello(hello, hello, 0x1d));
  for (const code of [0x1301, 0x1d, 0x0403, 2]) {
    hello.offersCipherSuite(code);
    hello.offersGroup(code);
    hello.keyShare(code);
    hello.offersSignatureScheme(code);
    hello.offersCertificateCompression(code);
  }
  for (let i = 0; i < hello.pskCount; i++) {
    expect(hello.pskIdentity(i).length).toBeGreaterThan(0);
    expect(hello.pskObfuscatedAge(i)).toBeLessThan(2 ** 32);
    hello.pskBinder(i);
  }
  for (const name of hello.alpnProtocols()) expect(hello.selectAlpn([name])).toBe(name);
  expect(hello.selectAlpn(["no such protocol"])).toBeUndefined();
  const values = [hello.random, hello.sessionId, hello.serverNameText, hello.keyShareCount];
  const flags = [hello.offersPskDheKe, hello.wantsOcsp, hello.wantsSct, hello.prefersChaCha20];
  expect([...values, ...flags, hello.recordSizeLimit, hello.ticketRequest]).not.toContain(NaN);
  for (const type of KNOWN) expect(hello.body(type) !== undefined).toBe(hello.has(type));
}

/** Passes if it ends, or ends in a TlsError; anything else is a fault of ours. */
function ignoringTlsErrors(work: () => unknown): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof TlsError)) throw error;
  }
}

const ALL = { ocsp: true, sct: true };
const EMPTY16 = [0, 0];

/** [name, decoder, a whole message]. */
const DECODERS: readonly (readonly [string, (bytes: Uint8Array) => unknown, Uint8Array])[] = [
  [
    "ClientHello",
    useClientHello,
    helloBytes({
      extensions: [
        ...change(PLAIN, alpn("h2", "http/1.1"), compression(2), recordSizeLimit(100), [5, [
          1,
          0,
          0,
          0,
          0,
        ]]),
        [0xfe0d, [0, 0, 1, 0, 1, 7, ...vector16([1, 2]), ...vector16([3, 4])]],
        [58, [1, 2]],
        modes(1),
        psks([[[1, 2], 3], [[4], 5]], [filled(32), filled(32)]),
      ],
    }),
  ],
  [
    "ServerHello",
    decodeServerHello,
    message(2, [
      3,
      3,
      ...filled(32),
      0,
      0x13,
      1,
      0,
      ...vector16(extensionBytes([[43, [3, 4]], [51, [0, 0x1d, ...vector16([1])]], [41, [0, 0]]])),
    ]),
  ],
  [
    "EncryptedExtensions",
    decodeEncryptedExtensions,
    message(
      8,
      vector16(extensionBytes([
        [0, []],
        alpn("h2"),
        groups(1, 2),
        [28, [64, 1]],
        [0xfe0d, [1]],
      ])),
    ),
  ],
  [
    "CertificateRequest",
    decodeCertificateRequest,
    message(13, [
      0,
      ...vector16(extensionBytes([schemes(0x0403), compression(2), [47, vector16(vector16([1]))]])),
    ]),
  ],
  [
    "Certificate",
    (bytes) => decodeCertificate(bytes, { maxCertificateEntries: 4 }, ALL),
    message(11, [
      0,
      ...vector24([
        ...vector24([1, 2]),
        ...vector16(extensionBytes([[5, [1, 0, 0, 1, 7]], [18, vector16(vector16([1]))]])),
        ...vector24([1]),
        ...EMPTY16,
      ]),
    ]),
  ],
  [
    "CompressedCertificate",
    decodeCompressedCertificate,
    message(25, [0, 2, 0, 0, 9, ...vector24([1])]),
  ],
  ["CertificateVerify", decodeCertificateVerify, message(15, [4, 3, ...vector16([1, 2])])],
  ["Finished", decodeFinished, message(20, filled(32))],
  ["KeyUpdate", decodeKeyUpdate, message(24, [1])],
  [
    "NewSessionTicket",
    decodeNewSessionTicket,
    message(4, [
      ...filled(8),
      ...vector8([0]),
      ...vector16([1, 2]),
      ...vector16(extensionBytes([[42, u32(5)]])),
    ]),
  ],
  [
    "ECHConfigList",
    decodeEchConfigList,
    encodeEchConfigList([encodeEchConfig({
      configId: 1,
      kemId: 0x20,
      publicKey: new Uint8Array(32),
      suites: [{ kdfId: 1, aeadId: 1 }],
      maximumNameLength: 0,
      publicName: "a.example",
      extensions: [{ type: 0x0a0a, data: new Uint8Array(2) }],
    })]),
  ],
];

describe.each(DECODERS)("%s", (_, decode, whole) => {
  test("throws nothing but TlsError on any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
        ignoringTlsErrors(() => decode(bytes));
      }),
      { numRuns: 300 },
    );
  });

  test("throws nothing but TlsError on any body", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), (body) => {
        ignoringTlsErrors(() => decode(message(whole[0]!, [...body])));
      }),
      { numRuns: 300 },
    );
  });

  const edit = fc.record({
    at: fc.nat(whole.length - 1),
    remove: fc.constantFrom(0, 0, 1, 1, 1, 2, 5),
    insert: fc.uint8Array({ maxLength: 3 }),
  });
  test("throws nothing but TlsError on a whole one that was tampered with", () => {
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), fc.boolean(), (edits, framed) => {
        const bytes = [...whole];
        for (const { at, remove, insert } of edits) bytes.splice(at, remove, ...insert);
        const tampered = new Uint8Array(bytes);
        ignoringTlsErrors(() => decode(framed && bytes.length > 4 ? reframe(tampered) : tampered));
        expect(() => decode(whole)).not.toThrow(); // and leaves nothing behind
      }),
      { numRuns: 500 },
    );
  });
});

const anyExtension = fc.tuple(
  fc.oneof(fc.constantFrom(...KNOWN), fc.nat(0xffff)),
  fc.uint8Array({ maxLength: 24 }).map((body) => [...body]),
);

test("a ClientHello of any extensions ends in a TlsError or is read", () => {
  fc.assert(
    fc.property(fc.array(anyExtension, { maxLength: 8 }), fc.boolean(), (list, plain) => {
      const extensions: Ext[] = plain ? change(PLAIN, ...list) : list;
      ignoringTlsErrors(() => useClientHello(helloBytes({ extensions })));
    }),
    { numRuns: 2000 },
  );
});

test("a duplicate extension is found wherever it stands, and only then", () => {
  fc.assert(fc.property(fc.array(fc.nat(0xffff), { maxLength: 60 }), (types) => {
    const bytes = helloBytes({ extensions: types.map((type): Ext => [type, [0]]) });
    const parse = () => parseClientHello(bytes);
    if (new Set(types).size === types.length) parse();
    else expect(parse).toThrow("duplicate extension");
  }));
});

const code = fc.nat(0xffff);
const distinctCodes = fc.uniqueArray(code, { minLength: 1, maxLength: 20 });

test("a ClientHello answers as the lists it was made of", () => {
  const offer = fc.record({
    suites: distinctCodes,
    groups: distinctCodes,
    schemes: distinctCodes,
    versions: distinctCodes,
    compression: distinctCodes,
    protocols: fc.uniqueArray(fc.string({ minLength: 1, maxLength: 9, unit: "binary-ascii" }), {
      minLength: 1,
      maxLength: 6,
    }),
    share: fc.uint8Array({ minLength: 1, maxLength: 40 }),
    identities: fc.array(
      fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 9 }), fc.nat(0xffffffff)),
      {
        minLength: 1,
        maxLength: 6,
      },
    ),
  });
  fc.assert(
    fc.property(offer, code, (made, probe) => {
      const hello = read(helloBytes({
        suites: made.suites,
        extensions: [
          groups(...made.groups),
          schemes(...made.schemes),
          versions(...made.versions, 0x0304),
          compression(...made.compression),
          alpn(...made.protocols),
          shares(...made.groups.map((group) => [group, [...made.share, group & 0xff]] as const)),
          modes(1),
          psks(
            made.identities.map(([identity, age]) => [[...identity], age]),
            made.identities.map((_, i) => filled(32 + i, i)),
          ),
        ],
      }));
      hello.checkKeyShares();
      for (const value of [probe, ...made.groups, ...made.suites, ...made.schemes]) {
        expect(hello.offersCipherSuite(value)).toBe(made.suites.includes(value));
        expect(hello.offersGroup(value)).toBe(made.groups.includes(value));
        expect(hello.offersSignatureScheme(value)).toBe(made.schemes.includes(value));
        expect(hello.offersCertificateCompression(value)).toBe(made.compression.includes(value));
        const share = made.groups.includes(value) ? [...made.share, value & 0xff] : undefined;
        expect(hello.keyShare(value)).toEqual(share && new Uint8Array(share));
      }
      expect(hello.keyShareCount).toBe(made.groups.length);
      expect(hello.alpnProtocols()).toEqual(made.protocols);
      expect(hello.selectAlpn(made.protocols.toReversed())).toBe(made.protocols.at(-1));
      expect(hello.pskCount).toBe(made.identities.length);
      made.identities.forEach(([identity, age], i) => {
        expect(hello.pskIdentity(i)).toEqual(identity);
        expect(hello.pskObfuscatedAge(i)).toBe(age);
        expect(hello.pskBinder(i)).toEqual(new Uint8Array(filled(32 + i, i)));
      });
    }),
    { numRuns: 200 },
  );
});

test("ech 11: a public name is a host name to the ClientHello as well", () => {
  const label = fc.string({
    minLength: 1,
    maxLength: 6,
    unit: fc.constantFrom("a", "b", "0", "x", "-", "_", "1", "."),
  });
  fc.assert(
    fc.property(fc.array(label, { minLength: 1, maxLength: 3 }), (labels) => {
      const name = labels.join(".");
      if (!isPublicName(name)) return;
      expect(read(helloBytes({ extensions: change(PLAIN, sni(name)) })).serverNameText).toBe(name);
    }),
    { numRuns: 2000 },
  );
});

/** Counts how often bytes are looked at: work, without a clock. */
function counted(bytes: Uint8Array): { readonly bytes: Uint8Array; reads: number } {
  const counter = {
    reads: 0,
    bytes: new Proxy(bytes, {
      get(target, key) {
        if (typeof key === "string" && key >= "0" && key < ":") counter.reads++;
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    }),
  };
  return counter;
}

describe("the work for a ClientHello grows with its bytes", () => {
  const BARE: Ext[] = [groups(0x1d), schemes(0x0403), versions(0x0304), shares()];
  /** Extensions that fill about `size` bytes. */
  const shapes: readonly (readonly [string, (size: number) => Ext[]])[] = [
    ["tiny extensions", (size) => [
      ...BARE,
      ...Array.from({ length: size / 4 - 20 }, (_, i): Ext => [0x1000 + i, []]),
    ]],
    ["tiny extensions, the last of them twice", (size) => [
      ...BARE,
      ...Array.from({ length: size / 4 - 20 }, (_, i): Ext => [0x1000 + i, []]),
      [0x1000, []],
    ]],
    ["tiny key shares", (size) => {
      const list = Array.from({ length: size / 7 - 20 }, (_, i) => 0x1000 + i);
      return change(
        BARE,
        groups(...list),
        shares(...list.map((group) => [group, [1]] as const)),
      );
    }],
    ["PSK identities", (size) => {
      const list = Array.from({ length: size / 9 - 20 }, () => 0);
      return [...BARE, modes(1), psks(list.map(() => [[1], 0]), list.map(() => [1]))];
    }],
    ["protocols", (size) => [...BARE, alpn(...Array<string>(size / 2 - 40).fill("x"))]],
    ["responder ids", (size) => [
      ...BARE,
      [5, [
        1,
        ...vector16(Array.from({ length: size / 3 - 40 }, () => vector16([1])).flat()),
        0,
        0,
      ]],
    ]],
    [
      "groups",
      (size) => change(BARE, groups(...Array.from({ length: size / 2 - 40 }, (_, i) => i))),
    ],
    ["one name of many", (size) => [
      ...BARE,
      [
        0,
        vector16(
          Array.from({ length: size / 8 - 20 }, () => [0, ...u16(5), ...ascii("a.exa")]).flat(),
        ),
      ],
    ]],
  ];

  /** What connection code asks of a hello, each once. */
  function serve(bytes: Uint8Array): void {
    const hello = parseClientHello(bytes);
    hello.checkExtensions();
    hello.checkKeyShares();
    hello.offersCipherSuite(0xffff);
    hello.offersGroup(0xffff);
    hello.keyShare(0xffff);
    hello.offersSignatureScheme(0xffff);
    hello.selectAlpn(["h2", "http/1.1"]);
    for (let i = 0; i < hello.pskCount; i++) hello.pskIdentity(i);
    if (hello.pskCount > 0) hello.pskBinder(hello.pskCount - 1);
    checkSecondClientHello(hello, hello, 0x1d);
  }

  test.each(shapes)("when it is full of %s", (_, shape) => {
    const work = [8192, 16384].map((size) => {
      const whole = helloBytes({ extensions: shape(size) });
      expect(Math.abs(whole.length - size)).toBeLessThan(1024);
      const counter = counted(whole);
      ignoringTlsErrors(() => serve(counter.bytes));
      expect(counter.reads).toBeGreaterThan(0);
      expect(counter.reads / whole.length).toBeLessThan(12);
      return counter.reads;
    });
    expect(work[1]! / work[0]!).toBeLessThan(2.3);
  });
});
