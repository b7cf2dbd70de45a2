import { describe, expect, test } from "vitest";
import { withExtension, withoutExtension } from "../../../src/client/hello.ts";
import type { EchKnobs, Hooks } from "../../../src/client/options.ts";
import type { AlertName } from "../../../src/tls/alert.ts";
import type { Refusal } from "../../../src/tls/config.ts";
import { EchKeySet } from "../../../src/tls/ech.ts";
import type { Reason } from "../../../src/tls/error.ts";
import { NamedGroup } from "../../../src/tls/wire/code-points.ts";
import { decodeServerHello } from "../../../src/tls/wire/server-hello.ts";
import { ext, hello, plaintextRecords } from "../../support/hello-builder.ts";
import { Pair, type PairOptions } from "../../support/pair.ts";
import { feed, recordsOf } from "../../support/raw-server.ts";
import { testConfigList, testEchKey, testServer } from "../../support/server-config.ts";
import {
  clientCertificate,
  echo,
  expectEnd,
  firstMessage,
  flipped,
  recordSizes,
  sessionsOf,
} from "./kit.ts";

const { x25519, secp256r1, secp384r1 } = NamedGroup;
const RETRIED = { groups: [x25519, secp256r1], keyShares: [] };

type ClientPart = NonNullable<PairOptions["client"]>;

/** An offer to a server of one key, spoilt. */
async function offering(
  knobs: EchKnobs,
  client: Omit<ClientPart, "ech"> = {},
  options: PairOptions = {},
  suite?: { kdfId: number; aeadId: number },
): Promise<Pair> {
  const key = testEchKey();
  return await Pair.attempt({
    server: { ech: [key] },
    ...options,
    client: {
      ...client,
      ech: { configList: key.configList, knobs, ...(suite && { suite }) },
    },
  });
}

describe("accepted", () => {
  test("ech 3: all that counts is the inner hello's", async () => {
    const pair = await Pair.connect({
      server: { ech: true, alpn: ["h2", "http/1.1"] },
      client: { ech: true, alpn: ["h2"], suites: [0x1302] },
    });
    expect(pair.negotiated).toMatchObject({
      serverName: "a.example",
      alpn: "h2",
      cipherSuite: 0x1302,
      ech: {
        outcome: "accepted",
        configId: 7,
        heldId: true,
        staleLikely: false,
      },
    });
    expect(pair.server.ech?.outcome).toBe("accepted");
    expect(pair.output.asked[0]).toMatchObject({ name: "a.example", ech: { outcome: "accepted" } });
    await echo(pair);
  });

  test("ech 3: an outer hello with hardly anything but ECH leaks nothing into the inner one", async () => {
    for (const keyShares of [[x25519], []]) {
      const key = testEchKey();
      const pair = await Pair.connect({
        server: { ech: [key] },
        client: {
          keyShares,
          ech: { configList: key.configList, compress: [] },
          hooks: {
            hello: (fields, role) =>
              role === "outer"
                ? {
                  ...fields,
                  cipherSuites: [0x1302],
                  extensions: fields.extensions!.filter(([type]) =>
                    // What the client looks for in its own outer hello when it reads ours.
                    [0xfe0d, 43, 51].includes(type)
                  ),
                }
                : fields,
          },
        },
      });
      expect(pair.negotiated).toMatchObject({ cipherSuite: 0x1301, ech: { outcome: "accepted" } });
      await echo(pair);
    }
  });

  test("ech 3: an outer hello may be wrong in all that is not looked at", async () => {
    const outer: Hooks = {
      hello: (fields, role) =>
        role !== "outer" ? fields : [
          ext.serverName(""),
          ext.alpn([""]),
          ext.supportedVersions([0x0303]),
          ext.recordSizeLimit(1),
        ].reduce(withExtension, { ...fields, compressionMethods: [1], legacyVersion: 0x0301 }),
    };
    const pair = await offering({}, { hooks: outer });
    expect(pair.negotiated?.ech.outcome).toBe("accepted");
  });

  test("ech 6: no retry_configs, ech 18: no ECH extension in EncryptedExtensions", async () => {
    const pair = await Pair.connect({ server: { ech: true }, client: { ech: true } });
    expect(pair.client.negotiated.encryptedExtensions).toEqual([0]);
  });

  test("ech 5: the last 8 bytes of the random are the signal, the first 24 are random", async () => {
    const server = await testServer({ ech: true });
    const randoms = await Promise.all([1, 2].map(async () => {
      const pair = await Pair.connect({ server, client: { ech: true } });
      return decodeServerHello(firstMessage(pair.output.sent[0]!)).random;
    }));
    expect(randoms[0]!.slice(0, 24)).not.toEqual(randoms[1]!.slice(0, 24));
  });

  test("ech 5: a HelloRetryRequest has its 8 bytes, and ServerHello confirms again", async () => {
    for (const suites of [[0x1301], [0x1302]]) {
      const pair = await Pair.connect({
        server: { ech: true },
        client: { ech: true, suites, ...RETRIED },
      });
      const retry = decodeServerHello(firstMessage(pair.output.sent[0]!));
      expect(retry.ech?.length).toBe(8);
      expect(pair.client.negotiated).toMatchObject({ ech: "accepted", helloRetried: true });
      await echo(pair);
    }
  });

  test("ech 7: keys may be rotated between the hellos: the second is opened by the first's", async () => {
    const key = testEchKey();
    const server = await testServer({ ech: [key] });
    const next = new EchKeySet([testEchKey({ configId: 7 }).key], "active");
    let isRotated = false;
    const config = {
      ...server.config,
      get ech() {
        return isRotated ? next : server.config.ech;
      },
    };
    const pair = await Pair.connect({
      server: { ...server, config },
      client: { ech: { configList: key.configList }, ...RETRIED },
      chooseSite() {
        isRotated = true;
        return server.site;
      },
    });
    expect(pair.negotiated).toMatchObject({ helloRetried: true, ech: { outcome: "accepted" } });
    await echo(pair);
  });

  test("ech 3: the second of our keys, and one of two with the same id", async () => {
    const keys = [
      testEchKey({ configId: 7 }),
      testEchKey({ configId: 7 }),
      testEchKey({ configId: 9 }),
    ];
    const server = await testServer({ ech: keys });
    for (const key of keys) {
      const pair = await Pair.connect({ server, client: { ech: { configList: key.configList } } });
      expect(pair.negotiated?.ech).toMatchObject({ outcome: "accepted" });
      await echo(pair);
    }
  });

  test("ech 3: withdrawing, it is accepted as ever", async () => {
    const server = { ech: true, echState: "withdrawing" } as const;
    const pair = await Pair.connect({ server, client: { ech: true } });
    expect(pair.negotiated?.ech.outcome).toBe("accepted");
  });

  test("ech 4: references to the outer hello, with others between them", async () => {
    const key = testEchKey();
    const pair = await Pair.connect({
      server: { ech: [key] },
      client: { ech: { configList: key.configList, compress: [10, 13, 43, 51] } },
    });
    expect(pair.negotiated?.ech.outcome).toBe("accepted");
    await echo(pair);
  });

  test("ech 8: tickets are as any other's, and go over the border both ways", async () => {
    const server = await testServer({ ech: true });
    const inside = await sessionsOf(server, { client: { ech: true } });
    const outside = await sessionsOf(server);
    for (const sessions of [inside, outside]) {
      for (const client of [{}, { ech: true }, { ech: true, ...RETRIED }] as const) {
        const pair = await Pair.connect({ server, client: { ...client, sessions } });
        expect(pair.negotiated?.resumed).toBe(true);
        await echo(pair);
      }
    }
  });

  test("ech 8: a ticket of another inner name is not taken", async () => {
    const server = await testServer({ ech: true });
    const sessions = await sessionsOf(server, { client: { ech: true } });
    const pair = await Pair.connect({
      server,
      client: { ech: true, sessions, serverName: "b.example" },
    });
    expect(pair.negotiated).toMatchObject({ resumed: false, serverName: "b.example" });
  });

  test("ech 8: the binder covers the inner hello", async () => {
    const server = await testServer({ ech: true });
    const [session] = await sessionsOf(server, { client: { ech: true } });
    for (const client of [{}, RETRIED]) {
      const pair = await Pair.attempt({
        server,
        client: { ...client, ech: true, sessions: [{ ...session!, psk: new Uint8Array(32) }] },
      });
      expectEnd(pair, "incorrect binder", "decrypt_error", "plaintext");
    }
  });

  test("ech 8: refused 0-RTT is skipped", async () => {
    for (const client of [{}, RETRIED]) {
      const pair = await Pair.connect({
        server: { ech: true },
        client: { ...client, ech: true, earlyDataBytes: 300 },
      });
      expect(pair.negotiated?.ech.outcome).toBe("accepted");
      await echo(pair);
    }
  });

  test("ech 8: with a client certificate", async () => {
    const pair = await Pair.connect({
      server: { ech: true, clientAuth: "require" },
      client: { ech: true, certificate: await clientCertificate() },
    });
    expect(pair.negotiated?.client?.chain.length).toBe(1);
    await echo(pair);
  });
});

describe("rejected", () => {
  const stale = testEchKey({ configId: 8 });

  test("ech 6: the outer name's site completes it, with retry_configs of the keys for that, in order", async () => {
    const old = testEchKey({ configId: 1, retry: false });
    const two = [testEchKey({ configId: 2 }), testEchKey({ configId: 3 })];
    for (const client of [{}, RETRIED]) {
      const pair = await Pair.attempt({
        server: { ech: [old, ...two] },
        client: { ...client, ech: { configList: stale.configList } },
      });
      expect(pair.clientError).toMatchObject({ reason: "ECH rejected", alertSent: "ech_required" });
      expect(pair.clientError!.retryConfigs).toEqual(testConfigList(two));
      expect(pair.output.asked.map(({ name }) => name)).toEqual(["public.example"]);
      expect(pair.negotiated).toMatchObject({ serverName: "public.example", resumed: false });
      expect(pair.serverError).toMatchObject({ reason: "received alert", received: 121 });
    }
  });

  test("ech 6: what is said of it: id, whether we hold it, whether it is stale or GREASE", async () => {
    const other = testEchKey({ configId: 7 });
    const cases = [
      [{ ech: { configList: stale.configList } }, {
        configId: 8,
        heldId: false,
        staleLikely: true,
      }],
      [{ ech: { configList: other.configList } }, { configId: 7, heldId: true, staleLikely: true }],
      [
        { ech: { configList: stale.configList, knobs: { outerName: "a.example" } } },
        { configId: 8, heldId: false, staleLikely: false, outerName: "a.example" },
      ],
      [
        { ech: { configList: stale.configList, knobs: { outerName: null } } },
        { configId: 8, staleLikely: false, outerName: undefined },
      ],
      [{ ech: "grease" }, { staleLikely: false, outerName: "a.example" }],
    ] as const;
    for (const [client, status] of cases) {
      const pair = await Pair.attempt({ server: { ech: true }, client });
      expect(pair.server.ech).toMatchObject({ outcome: "rejected", ...status });
      expect(pair.output.asked[0]!.ech).toEqual(pair.server.ech);
    }
  });

  const never: readonly (readonly [string, EchKnobs])[] = [
    ["another config_id", { extension: (f) => ({ ...f, configId: 99 }) }],
    ["a suite that is not listed", { extension: (f) => ({ ...f, aeadId: 2 }) }],
    ["a suite that nobody knows", { extension: (f) => ({ ...f, kdfId: 0x7777 }) }],
    ["a short enc", { extension: (f) => ({ ...f, enc: f.enc.slice(1) }) }],
    ["no enc", { extension: (f) => ({ ...f, enc: new Uint8Array(0) }) }],
    ["a zero enc", { extension: (f) => ({ ...f, enc: new Uint8Array(32) }) }],
    ["a spoilt payload", { extension: (f) => ({ ...f, payload: flipped(f.payload, 3) }) }],
    ["a payload of one byte", { extension: (f) => ({ ...f, payload: new Uint8Array(1) }) }],
    ["another AAD", { aad: (aad) => flipped(aad, -1) }],
  ];
  test.each(never)("ech 13: never an alert: %s", async (_, knobs) => {
    const pair = await offering(knobs);
    expect(pair.clientError).toMatchObject({ reason: "ECH rejected", echVerdict: "replaced" });
    expect(pair.negotiated?.ech.outcome).toBe("rejected");
  });

  test("ech 6: GREASE goes on as any other hello, resumes, and shows certificates", async () => {
    const server = await testServer({ ech: true });
    const sessions = await sessionsOf(server, { client: { ech: "grease" } });
    for (const client of [{}, RETRIED]) {
      const pair = await Pair.connect({ server, client: { ...client, ech: "grease", sessions } });
      expect(pair.negotiated).toMatchObject({ resumed: true, ech: { outcome: "rejected" } });
      expect(pair.client.negotiated.retryConfigs).toEqual(server.configList);
      await echo(pair);
    }
    const shown = await Pair.connect({
      server: { ech: true, clientAuth: "require" },
      client: { ech: "grease", certificate: await clientCertificate() },
    });
    expect(shown.negotiated?.client).toBeDefined();
  });

  test("ech 6: the outer hello's GREASE PSK is a ticket that nobody knows", async () => {
    const server = await testServer({ ech: true });
    const sessions = await sessionsOf(server, { client: { ech: true } });
    for (const client of [{}, RETRIED]) {
      const pair = await Pair.attempt({
        server,
        client: { ...client, sessions, ech: { configList: stale.configList } },
      });
      expect(pair.clientError?.reason).toBe("ECH rejected");
      expect(pair.negotiated).toMatchObject({ resumed: false, ech: { outcome: "rejected" } });
    }
  });

  test("ech 6: refused 0-RTT in the outer hello is skipped", async () => {
    for (const client of [{}, RETRIED]) {
      const pair = await Pair.attempt({
        server: { ech: true },
        client: { ...client, earlyDataBytes: 200, ech: { configList: stale.configList } },
      });
      expect(pair.clientError?.reason).toBe("ECH rejected");
    }
  });

  test("ech 6: asked for a certificate, its client shows none", async () => {
    const pair = await Pair.attempt({
      server: { ech: true, clientAuth: "request" },
      client: { certificate: await clientCertificate(), ech: { configList: stale.configList } },
    });
    expect(pair.negotiated?.client).toBeUndefined();
    expect(pair.clientError?.reason).toBe("ECH rejected");
  });

  test("ech 6: withdrawing, there are no retry_configs: ECH is off", async () => {
    const server = { ech: true, echState: "withdrawing" } as const;
    const pair = await Pair.attempt({ server, client: { ech: { configList: stale.configList } } });
    expect(pair.clientError).toMatchObject({ reason: "ECH rejected", echVerdict: "off" });
    const grease = await Pair.connect({ server, client: { ech: "grease" } });
    expect(grease.client.negotiated.encryptedExtensions).toEqual([0]);
  });

  test("ech 3: without keys nothing about ECH is ever sent, not in a HelloRetryRequest either", async () => {
    for (const client of [{}, RETRIED]) {
      const pair = await Pair.connect({
        server: { server: { greaseHelloRetry: true } },
        client: { ...client, ech: "grease" },
      });
      expect(pair.client.negotiated.encryptedExtensions).toEqual([0]);
      expect(decodeServerHello(firstMessage(pair.output.sent[0]!)).ech).toBeUndefined();
    }
  });

  test("ech 6: unasked there are none, not even where the second hello asks", async () => {
    const plain = await Pair.connect({ server: { ech: true } });
    expect(plain.client.negotiated.encryptedExtensions).toEqual([0]);
    const later = await Pair.connect({
      server: { ech: true },
      client: {
        ...RETRIED,
        hooks: {
          hello: (fields, _, attempt) =>
            attempt === 2 ? withExtension(fields, [0xfe0d, new Uint8Array(20)]) : fields,
        },
      },
    });
    expect(later.client.negotiated.encryptedExtensions).toEqual([0]);
    expect(later.negotiated?.ech.outcome).toBe("not-offered");
  });

  test("ech 6: a HelloRetryRequest has 8 random bytes if told so, and none otherwise", async () => {
    for (const greaseHelloRetry of [false, true]) {
      const server = await testServer({ ech: true, server: { greaseHelloRetry } });
      for (const ech of ["grease", { configList: stale.configList }] as const) {
        const pair = await Pair.attempt({ server, client: { ...RETRIED, ech } });
        const retry = decodeServerHello(firstMessage(pair.output.sent[0]!));
        expect(retry.ech?.length).toBe(greaseHelloRetry ? 8 : undefined);
      }
      const plain = await Pair.connect({ server, client: RETRIED });
      expect(decodeServerHello(firstMessage(plain.output.sent[0]!)).ech).toBeUndefined();
    }
  });

  test("ech 7: the second hello's extension is not looked at then", async () => {
    const changed: Hooks = {
      hello: (fields, _, attempt) =>
        attempt === 2 ? withExtension(fields, [0xfe0d, Uint8Array.of(9)]) : fields,
    };
    const pair = await Pair.connect({
      server: { ech: true },
      client: { ...RETRIED, ech: "grease", hooks: changed },
    });
    expect(pair.client.negotiated.retryConfigs).toBeDefined();
  });
});

type Row = readonly [name: string, EchKnobs, ClientPart, Reason, AlertName];

const innerOnly = (
  change: (fields: Parameters<NonNullable<Hooks["hello"]>>[0]) => typeof fields,
): ClientPart => ({
  hooks: { hello: (fields, role) => role === "inner" ? change(fields) : fields },
});

const malformed: readonly Row[] = [
  [
    "padding that is not zero",
    { encodedInner: (e) => flipped(e, -1) },
    {},
    "inner hello not zero-padded",
    "illegal_parameter",
  ],
  [
    "a session id",
    { innerSessionId: new Uint8Array(3) },
    {},
    "inner hello with a session id",
    "decode_error",
  ],
  [
    "no bytes but one",
    { encodedInner: () => new Uint8Array(1) },
    {},
    "message too short",
    "decode_error",
  ],
  [
    "a reference to itself",
    { outerExtensions: [0xfe0d] },
    {},
    "bad ech_outer_extensions",
    "illegal_parameter",
  ],
  [
    "a reference twice",
    { outerExtensions: [10, 10] },
    {},
    "bad ech_outer_extensions",
    "illegal_parameter",
  ],
  [
    "references out of order",
    { outerExtensions: [13, 10] },
    {},
    "bad ech_outer_extensions",
    "illegal_parameter",
  ],
  [
    "a reference to nothing",
    { outerExtensions: [10, 0x7777] },
    {},
    "bad ech_outer_extensions",
    "illegal_parameter",
  ],
  ["no mark", { innerMark: null }, {}, "inner hello without its ECH mark", "illegal_parameter"],
  [
    "a mark of two bytes",
    { innerMark: Uint8Array.of(1, 0) },
    {},
    "inner hello without its ECH mark",
    "illegal_parameter",
  ],
  [
    "a mark of type outer",
    { innerMark: Uint8Array.of(0) },
    {},
    "inner hello without its ECH mark",
    "illegal_parameter",
  ],
  [
    "an offer of TLS 1.2",
    {},
    innerOnly((f) => withExtension(f, ext.supportedVersions([0x0304, 0x0303]))),
    "inner hello offers TLS 1.2",
    "illegal_parameter",
  ],
  [
    "no versions",
    {},
    innerOnly((f) => withoutExtension(f, 43)),
    "inner hello offers TLS 1.2",
    "illegal_parameter",
  ],
  [
    "versions of the future alone",
    {},
    innerOnly((f) => withExtension(f, ext.supportedVersions([0x0305]))),
    "no TLS version in common",
    "protocol_version",
  ],
  [
    "an empty list of versions",
    {},
    innerOnly((f) => withExtension(f, ext.supportedVersions([]))),
    "vector too short",
    "decode_error",
  ],
  [
    "a duplicate extension",
    {},
    innerOnly((f) => ({
      ...f,
      extensions: [[0x7777, new Uint8Array(0)], [0x7777, new Uint8Array(0)], ...f.extensions!],
    })),
    "duplicate extension",
    "decode_error",
  ],
  [
    "no key_share",
    {},
    innerOnly((f) => withoutExtension(f, 51)),
    "missing key_share",
    "missing_extension",
  ],
  [
    "no suite in common",
    {},
    innerOnly((f) => ({ ...f, cipherSuites: [0xc02b] })),
    "no cipher suite in common",
    "handshake_failure",
  ],
  [
    "a share that is none",
    {},
    { ...innerOnly((f) => withExtension(f, ext.keyShare([[x25519, new Uint8Array(32)]]))) },
    "bad key share",
    "illegal_parameter",
  ],
];

describe("a malformed inner hello is refused in clear, and nothing falls back", () => {
  for (const [name, knobs, client, reason, alert] of malformed) {
    test(`ech 13: ${name}: ${alert}`, async () => {
      const pair = await offering(knobs, client as Omit<ClientPart, "ech">);
      expectEnd(pair, reason, alert, "plaintext");
      expect(pair.output.asked.length).toBe(
        name === "no suite in common" || name === "a share that is none" ? 1 : 0,
      );
    });

    // Knobs without an attempt would spoil the first hello: the ones below change the second alone. Suites are compared first.
    const isOfBoth = Object.keys(knobs).some((knob) => knob !== "encodedInner");
    if (isOfBoth || name === "no suite in common") continue;
    test(`ech 7: ${name}, in the second: ${alert}`, async () => {
      const second: EchKnobs = {
        encodedInner: (encoded, attempt) =>
          attempt === 2 ? knobs.encodedInner?.(encoded, attempt) ?? encoded : encoded,
      };
      const hooks: Hooks = {
        hello: (fields, role, attempt) =>
          attempt === 2 ? client.hooks?.hello?.(fields, role, attempt) ?? fields : fields,
      };
      const pair = await offering(second, { ...RETRIED, hooks });
      expectEnd(pair, reason, alert, "plaintext");
      expect(recordsOf(pair.serverWire).map(({ type }) => type)).toEqual([22, 20, 21]);
    });
  }

  /** Overwrites what follows the first occurrence of `mark`; lengths stay. */
  const overwriting = (mark: number[], bytes: number[]): EchKnobs => ({
    encodedInner(encoded, attempt) {
      if (attempt !== 2) return encoded;
      const at = encoded.findIndex((_, i) => mark.every((byte, j) => encoded[i + j] === byte));
      expect(at).toBeGreaterThan(0);
      const copy = encoded.slice();
      copy.set(bytes, at + mark.length);
      return copy;
    },
  });
  /** ech_outer_extensions of two types: its body's length, its list's. */
  const LIST = [0xfd, 0, 0, 5, 4];
  const second: readonly (readonly [string, EchKnobs, Reason])[] = [
    [
      "second references out of order",
      overwriting(LIST, [0, 13, 0, 10]),
      "bad ech_outer_extensions",
    ],
    ["second reference twice", overwriting(LIST, [0, 10, 0, 10]), "bad ech_outer_extensions"],
    [
      "second reference to nothing",
      overwriting(LIST, [0, 10, 0x77, 0x77]),
      "bad ech_outer_extensions",
    ],
    [
      "second reference to itself",
      overwriting(LIST, [0, 10, 0xfe, 0x0d]),
      "bad ech_outer_extensions",
    ],
    [
      "second mark of type outer",
      overwriting([0xfe, 0x0d, 0, 1], [0]),
      "inner hello without its ECH mark",
    ],
    ["second without its mark", {}, "inner hello without its ECH mark"],
  ];
  test.each(second)("ech 7: %s: illegal_parameter", async (name, knobs, reason) => {
    const key = testEchKey();
    const isDropped = name === "second without its mark";
    const pair = await Pair.attempt({
      server: { ech: [key] },
      client: {
        ...RETRIED,
        ech: { configList: key.configList, compress: [10, 13], knobs },
        hooks: {
          hello: (fields, role, attempt) =>
            isDropped && role === "inner" && attempt === 2
              ? withoutExtension(fields, 0xfe0d)
              : fields,
        },
      },
    });
    expectEnd(pair, reason, "illegal_parameter", "plaintext");
    expect(recordsOf(pair.serverWire).map(({ type }) => type)).toEqual([22, 20, 21]);
  });

  test("ech 3: strictOuterSni refuses another outer name after the tag", async () => {
    const key = testEchKey();
    const pair = await Pair.attempt({
      server: { ech: [key], server: { strictOuterSni: true } },
      client: { ech: { configList: key.configList, knobs: { outerName: "b.example" } } },
    });
    expectEnd(pair, "outer server_name is not the public name", "illegal_parameter", "plaintext");
  });
});

describe("the second hello, after acceptance", () => {
  const at2 = (change: EchKnobs["extension"] & object): EchKnobs => ({
    extension: (fields, attempt) => attempt === 2 ? change(fields, attempt) : fields,
  });
  const rows: readonly (readonly [string, EchKnobs, Reason, AlertName])[] = [
    ["without ECH", at2(() => undefined), "second ClientHello without ECH", "missing_extension"],
    [
      "of type inner",
      at2(() => Uint8Array.of(1)),
      "second ClientHello with another ECH type",
      "illegal_parameter",
    ],
    [
      "of another type",
      at2((f) => ({ ...f, type: 2 })),
      "second ClientHello with another ECH type",
      "illegal_parameter",
    ],
    ["that is cut", at2(() => Uint8Array.of(0, 0)), "message too short", "decode_error"],
    [
      "with another config_id",
      at2((f) => ({ ...f, configId: 8 })),
      "second ClientHello with another ECH config",
      "illegal_parameter",
    ],
    [
      "with another AEAD",
      at2((f) => ({ ...f, aeadId: 3 })),
      "second ClientHello with another ECH config",
      "illegal_parameter",
    ],
    [
      "with an enc",
      at2((f) => ({ ...f, enc: new Uint8Array(32) })),
      "second ClientHello with another ECH config",
      "illegal_parameter",
    ],
    [
      "that does not open",
      at2((f) => ({ ...f, payload: flipped(f.payload, 0) })),
      "second ClientHello does not decrypt",
      "decrypt_error",
    ],
    [
      "sealed anew",
      { freshSecondContext: true },
      "second ClientHello with another ECH config",
      "illegal_parameter",
    ],
    [
      "of another AAD",
      { aad: (aad, attempt) => attempt === 2 ? flipped(aad, 5) : aad },
      "second ClientHello does not decrypt",
      "decrypt_error",
    ],
  ];
  test.each(rows)("ech 7: %s", async (_, knobs, reason, alert) => {
    const pair = await offering(knobs, RETRIED, {}, { kdfId: 1, aeadId: 1 });
    expectEnd(pair, reason, alert, "plaintext");
    expect(recordsOf(pair.serverWire).map(({ type }) => type)).toEqual([22, 20, 21]);
  });

  const inner2 = (change: (f: Parameters<NonNullable<Hooks["hello"]>>[0]) => typeof f): Hooks => ({
    hello: (fields, role, attempt) => attempt === 2 && role === "inner" ? change(fields) : fields,
  });
  test.each(
    [
      ["another name", inner2((f) => withExtension(f, ext.serverName("b.example")))],
      ["other protocols", inner2((f) => withExtension(f, ext.alpn(["h3"])))],
      ["another random", inner2((f) => ({ ...f, random: new Uint8Array(32) }))],
      ["other suites", inner2((f) => ({ ...f, cipherSuites: [0x1301] }))],
    ] as const,
  )("ech 7: an inner hello with %s is illegal_parameter", async (_, hooks) => {
    const pair = await offering({}, { ...RETRIED, hooks });
    expectEnd(pair, "second ClientHello differs", "illegal_parameter", "plaintext");
  });

  test("ech 7: an inner hello with another share than was asked is illegal_parameter", async () => {
    const pair = await offering({}, {
      ...RETRIED,
      hooks: inner2((f) => withExtension(f, ext.keyShare([[secp384r1, new Uint8Array(97)]]))),
    });
    expectEnd(
      pair,
      "second ClientHello without the asked key share",
      "illegal_parameter",
      "plaintext",
    );
  });

  test("ech 7: the outer hello's other fields may say what they like", async () => {
    const pair = await offering({}, {
      ...RETRIED,
      hooks: {
        hello: (fields, role, attempt) =>
          attempt === 2 && role === "outer"
            ? withExtension({ ...fields, random: new Uint8Array(32) }, ext.serverName("c.example"))
            : fields,
      },
    });
    expect(pair.negotiated?.ech.outcome).toBe("accepted");
    await echo(pair);
  });
});

describe("what depends on the inner name is said under handshake keys, like a flight", () => {
  const PADDING = 4096;
  const refusals: Refusal["refuse"][] = [
    "unrecognized name",
    "missing server_name",
    "no application protocol in common",
    "access denied",
    "site lookup failed",
  ];
  /** Sizes of the records of a handshake that goes well. */
  async function normal(client: ClientPart): Promise<number[]> {
    const pair = await Pair.connect({
      server: { ech: true, server: { flightPadding: PADDING } },
      client: { ...client, ech: true },
    });
    return recordSizes(pair.serverWire);
  }

  const cases: (readonly [string, PairOptions, Reason, AlertName])[] = [
    ...refusals.map((refuse) =>
      [
        refuse,
        { chooseSite: () => ({ refuse }) },
        refuse,
        ({
          "unrecognized name": "unrecognized_name",
          "missing server_name": "missing_extension",
          "no application protocol in common": "no_application_protocol",
          "access denied": "access_denied",
          "site lookup failed": "internal_error",
        } as const)[refuse],
      ] as const
    ),
    [
      "protocols that the site does not speak",
      { client: { alpn: ["spdy/1"] }, server: { alpn: ["h2"] } },
      "no application protocol in common",
      "no_application_protocol",
    ],
    [
      "no scheme that the site's keys can sign",
      { client: { signatureSchemes: [0x0807] } },
      "no signature scheme in common",
      "handshake_failure",
    ],
  ];

  for (const keyShares of [[x25519], []]) {
    const retried = keyShares.length === 0;
    test.each(cases)(
      `policy 8.10: %s${retried ? ", after a HelloRetryRequest" : ""}`,
      async (_, options, reason, alert) => {
        const client = { ...options.client, keyShares };
        const pair = await Pair.attempt({
          ...options,
          server: { ...options.server, ech: true, server: { flightPadding: PADDING } },
          client: { ...client, ech: true },
        });
        expectEnd(pair, reason, alert, "handshake");
      },
    );
  }

  test.each(cases)(
    "policy 8.10: %s has the records and sizes of a flight",
    async (_, options, reason) => {
      for (const keyShares of [[x25519], []]) {
        const pair = await Pair.attempt({
          ...options,
          server: { ...options.server, ech: true, server: { flightPadding: PADDING } },
          client: { ...options.client, keyShares, ech: true },
        });
        expect(pair.serverError?.reason).toBe(reason);
        expect(recordSizes(pair.serverWire)).toEqual(await normal({ keyShares }));
      }
    },
  );

  test("policy 8.10: without ECH the same are said in clear, and short", async () => {
    const fed = feed(
      await testServer({ server: { flightPadding: PADDING } }),
      plaintextRecords(hello()),
      { chooseSite: () => ({ refuse: "unrecognized name" }) },
    );
    expect(recordSizes(fed.output.sent[0]!)).toEqual([7]);
  });

  test("policy 8.10: with ECH rejected as well", async () => {
    const pair = await Pair.attempt({
      server: { ech: true },
      client: { ech: "grease" },
      chooseSite: () => ({ refuse: "unrecognized name" }),
    });
    expectEnd(pair, "unrecognized name", "unrecognized_name", "plaintext");
  });

  test("policy 8.10: a signer that fails looks like a flight, too", async () => {
    const pair = await Pair.attempt({
      server: { ech: true, slowSigner: true, server: { flightPadding: PADDING } },
      client: { ech: true },
      signature: () => "fail",
    });
    expect(pair.clientError).toMatchObject({
      alertReceived: "internal_error",
      alertReceivedUnder: "handshake",
    });
    expect(recordSizes(pair.serverWire)).toEqual(await normal({}));
  });

  test("policy 8.10: a required client certificate is missed under application keys, padded", async () => {
    const pair = await Pair.attempt({
      server: { ech: true, clientAuth: "require", server: { flightPadding: PADDING } },
      client: { ech: true },
    });
    expectEnd(pair, "certificate required", "certificate_required", "application");
    const flight = await normal({});
    expect(recordSizes(pair.serverWire)).toEqual([...flight, flight.at(-1)]);
  });

  test("policy 8.10: once it is established alerts are as short as any", async () => {
    const pair = await Pair.connect({
      server: { ech: true, server: { flightPadding: PADDING } },
      client: { ech: true },
    });
    pair.server.flushTickets();
    pair.server.closeWrite();
    expect(recordSizes(pair.output.sent.at(-1)!)).toEqual([5 + 2 + 1 + 16]);
  });

  test("policy 8.10: a ticket for a refused name is not opened: no pre_shared_key is answered", async () => {
    const server = await testServer({ ech: true });
    const sessions = await sessionsOf(server, { client: { ech: true } });
    const pair = await Pair.attempt({
      server,
      client: { ech: true, sessions },
      chooseSite: () => ({ refuse: "unrecognized name" }),
    });
    expectEnd(pair, "unrecognized name", "unrecognized_name", "handshake");
    const answer = decodeServerHello(firstMessage(pair.output.sent[0]!));
    expect(answer.selectedIdentity).toBeUndefined();
  });

  test("policy 8.10: neither name stands in anything that goes out in clear", async () => {
    const pair = await Pair.connect({ server: { ech: true }, client: { ech: true } });
    const text = (bytes: Uint8Array) => String.fromCharCode(...bytes);
    for (const wire of [...pair.clientWire, pair.serverWire]) {
      expect(text(wire)).not.toContain("a.example");
    }
  });
});
