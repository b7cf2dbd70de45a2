import { describe, expect, test } from "vitest";
import { parseClientHello } from "../../../src/tls/wire/client-hello.ts";
import { decodeEchClientHello } from "../../../src/tls/wire/ech-client-hello.ts";
import {
  decodeEchConfig,
  decodeEchConfigList,
  encodeEchConfig,
  encodeEchConfigList,
  isPublicName,
} from "../../../src/tls/wire/ech-config.ts";
import type { EchConfigFields } from "../../../src/tls/wire/ech-config.ts";
import { ascii, filled, helloBytes, PLAIN, refusal, u16, vector16, vector8 } from "./hello.ts";
import type { Bytes } from "./hello.ts";

const hex = (text: string): Uint8Array =>
  Uint8Array.from(text.replaceAll(/\s/g, "").match(/../g)!, (pair) => parseInt(pair, 16));

/** The sample of RFC 9848. */
const SAMPLE = hex(`0048 fe0d 0044 01 0020
  0020 1d77eb1c522d08605b179d4214ee4a3635df7e17c336ea9006655a73fcaad63e
  0004 0001 0001 64 15 6563682d73697465732e6578616d706c652e6e6574 0000`);
const SAMPLE_FIELDS: EchConfigFields = {
  configId: 1,
  kemId: 0x20,
  publicKey: hex("1d77eb1c522d08605b179d4214ee4a3635df7e17c336ea9006655a73fcaad63e"),
  suites: [{ kdfId: 1, aeadId: 1 }],
  maximumNameLength: 100,
  publicName: "ech-sites.example.net",
};

describe("an ECHConfigList", () => {
  test("ech 1: the worked vector is read", () => {
    expect(SAMPLE.length).toBe(74);
    expect(decodeEchConfigList(SAMPLE)).toEqual([{
      ...SAMPLE_FIELDS,
      version: 0xfe0d,
      extensions: [],
      raw: SAMPLE.slice(2),
      hasUnknownMandatory: false,
    }]);
    expect(decodeEchConfig(SAMPLE.subarray(2))?.publicName).toBe("ech-sites.example.net");
  });

  test("ech 1: the worked vector is written", () => {
    expect(encodeEchConfigList([encodeEchConfig(SAMPLE_FIELDS)])).toEqual(SAMPLE);
  });

  test("ech 1: a config is 47 + 4k + n bytes, its list 2 more", () => {
    const suites = [1, 2, 3].map((aeadId) => ({ kdfId: 1, aeadId }));
    const config = encodeEchConfig({ ...SAMPLE_FIELDS, suites, publicName: "a.example" });
    expect(config.length).toBe(47 + 4 * 3 + 9);
    expect(encodeEchConfigList([config, config]).length).toBe(2 + 2 * config.length);
  });

  test("is refused at every prefix", () => {
    for (let n = 0; n < SAMPLE.length; n++) {
      expect(refusal(() => decodeEchConfigList(SAMPLE.subarray(0, n))))
        .toMatch(/^message too short -> decode_error$/);
    }
  });

  test("is refused with one byte more", () => {
    expect(refusal(() => decodeEchConfigList(new Uint8Array([...SAMPLE, 0]))))
      .toBe("trailing bytes -> decode_error");
    expect(refusal(() => decodeEchConfig(new Uint8Array([...SAMPLE.slice(2), 0]))))
      .toBe("trailing bytes -> decode_error");
  });

  test("ech 1: an unknown version is skipped by its length", () => {
    const unknown = [0xfe, 0x0a, ...vector16(filled(9))];
    const list = new Uint8Array(vector16([...unknown, ...SAMPLE.slice(2), ...unknown]));
    expect(decodeEchConfigList(list).map(({ configId }) => configId)).toEqual([1]);
    expect(decodeEchConfig(new Uint8Array(unknown))).toBeUndefined();
    expect(decodeEchConfigList(new Uint8Array(vector16(unknown)))).toEqual([]);
  });

  const contents = (
    parts: { key?: Bytes; suites?: Bytes; name?: Bytes; extensions?: Bytes; more?: Bytes },
  ) =>
    new Uint8Array([
      0xfe,
      0x0d,
      ...vector16([
        7,
        ...u16(0x20),
        ...vector16(parts.key ?? filled(32)),
        ...vector16(parts.suites ?? [0, 1, 0, 1]),
        0,
        ...vector8(parts.name ?? ascii("a.example")),
        ...vector16(parts.extensions ?? []),
        ...(parts.more ?? []),
      ]),
    ]);

  test.each([
    ["an empty public key", { key: [] }, "vector too short"],
    ["no suites", { suites: [] }, "vector too short"],
    ["half a suite", { suites: [0, 1, 0, 1, 0, 1] }, "odd vector length"],
    ["an empty public name", { name: [] }, "vector too short"],
    ["an extension twice", { extensions: [0, 0, 0, 0, 0, 0, 0, 0] }, "duplicate extension"],
    ["an extension that is cut", { extensions: [0, 0, 0, 9] }, "message too short"],
    ["bytes behind the extensions", { more: [0] }, "trailing bytes"],
  ])("ech 1: %s is a decode error", (_, parts, reason) => {
    expect(refusal(() => decodeEchConfig(contents(parts)))).toBe(`${reason} -> decode_error`);
  });

  test("ech 1: a list of no configs is a decode error", () => {
    expect(refusal(() => decodeEchConfigList(new Uint8Array([0, 0]))))
      .toBe("vector too short -> decode_error");
  });

  test("ech 1: extensions are kept, and mandatory ones told", () => {
    const gentle = decodeEchConfig(contents({ extensions: [0x1a, 0x1a, 0, 2, 5, 6] }))!;
    expect(gentle.extensions).toEqual([{ type: 0x1a1a, data: new Uint8Array([5, 6]) }]);
    expect(gentle.hasUnknownMandatory).toBe(false);
    expect(encodeEchConfig(gentle)).toEqual(gentle.raw);
    const strict = decodeEchConfig(contents({ extensions: [0x8a, 0x8a, 0, 0] }))!;
    expect(strict.hasUnknownMandatory).toBe(true);
  });

  test("what does not fit cannot be written", () => {
    const bad: Partial<EchConfigFields>[] = [
      { configId: 256 },
      { configId: -1 },
      { maximumNameLength: 256 },
      { publicKey: new Uint8Array(0) },
      { publicKey: new Uint8Array(65536) },
      { suites: [] },
      { publicName: "" },
      { publicName: "\u00e9.example" },
      { publicName: "a".repeat(256) },
      { extensions: [0, 0].map((type) => ({ type, data: new Uint8Array(0) })) },
    ];
    for (const fields of bad) {
      expect(() => encodeEchConfig({ ...SAMPLE_FIELDS, ...fields })).toThrow(RangeError);
    }
    expect(() => encodeEchConfigList([])).toThrow(RangeError);
    expect(() => encodeEchConfigList([new Uint8Array(65536)])).toThrow(RangeError);
  });
});

describe("a public name", () => {
  const label = "a".repeat(63);

  test("ech 11: is LDH labels joined by dots", () => {
    const good = [
      "localhost",
      "cloudflare-ech.com",
      "a",
      "0x.example",
      "127.0.0.example",
      "a--b.c",
      "xn--a.b",
      "1e2.a1",
      "0xg",
      `${label}.example`,
      `${label}.${label}.${label}.${"a".repeat(61)}`,
    ];
    for (const name of good) expect(isPublicName(name), name).toBe(true);
  });

  test("ech 11: has no other characters, no empty or long label, no hyphen at an edge", () => {
    const bad = [
      "",
      ".",
      "a.",
      ".a",
      "a..b",
      "-a.b",
      "a-.b",
      "a.-b",
      "a.b-",
      "-",
      "a_b.c",
      "a b",
      "a\0b",
      "\u00e9.c",
      "\u0131.c",
      "*.a",
      `${label}a.b`,
      `${label}.${label}.${label}.${"a".repeat(62)}`,
    ];
    for (const name of bad) expect(isPublicName(name), name).toBe(false);
  });

  test("ech 11: does not end in a number", () => {
    for (
      const name of [
        "127.0.0.1",
        "1",
        "a.1",
        "a.0x",
        "a.0X",
        "a.0x1F",
        "a.0xabcdef",
        "0x7f000001",
        "a.000",
      ]
    ) {
      expect(isPublicName(name), name).toBe(false);
    }
  });
});

describe("encrypted_client_hello in a ClientHello", () => {
  const outer = [0, 0, 1, 0, 3, 42, ...vector16(filled(32, 7)), ...vector16(filled(50, 8))];
  const hello = (body: Bytes) =>
    parseClientHello(helloBytes({ extensions: [...PLAIN, [0xfe0d, body], [0x7a7a, [1]]] }));

  test("ech 1: type outer, with the place of its payload", () => {
    const offer = hello(outer);
    const ech = decodeEchClientHello(offer);
    if (ech.type !== "outer") throw new Error("not outer");
    expect([ech.kdfId, ech.aeadId, ech.configId]).toEqual([1, 3, 42]);
    expect(ech.enc).toEqual(new Uint8Array(filled(32, 7)));
    expect(offer.bytes.subarray(ech.payloadAt, ech.payloadEnd)).toEqual(
      new Uint8Array(filled(50, 8)),
    );
    expect(offer.bytes.subarray(offer.echAt, offer.echEnd)).toEqual(new Uint8Array(outer));
  });

  test("ech 1: type inner is one byte", () => {
    expect(decodeEchClientHello(hello([1]))).toEqual({ type: "inner" });
    expect(refusal(() => decodeEchClientHello(hello([1, 0])))).toBe(
      "trailing bytes -> decode_error",
    );
  });

  test("ech 3: another type is an illegal parameter", () => {
    for (const type of [2, 0x0a, 255]) {
      expect(refusal(() => decodeEchClientHello(hello([type, ...outer.slice(1)]))))
        .toBe("bad ECHClientHelloType -> illegal_parameter");
    }
  });

  test("ech 3: is refused at every prefix", () => {
    for (let n = 0; n < outer.length; n++) {
      expect(refusal(() => decodeEchClientHello(hello(outer.slice(0, n)))))
        .toBe("message too short -> decode_error");
    }
  });

  test("ech 3: is refused with one byte more", () => {
    expect(refusal(() => decodeEchClientHello(hello([...outer, 0]))))
      .toBe("trailing bytes -> decode_error");
  });

  test("ech 1: enc may be empty, the payload not", () => {
    const head = [0, 0, 1, 0, 1, 42, 0, 0];
    expect(decodeEchClientHello(hello([...head, 0, 1, 9]))).toMatchObject({ type: "outer" });
    expect(refusal(() => decodeEchClientHello(hello([...head, 0, 0]))))
      .toBe("vector too short -> decode_error");
  });

  test("asking a hello without it is the caller's fault", () => {
    expect(() => decodeEchClientHello(parseClientHello(helloBytes()))).toThrow(RangeError);
  });
});
