import { describe, expect, test } from "vitest";
import type { AlertName } from "../../../src/tls/alert.ts";
import { type HelloFields, withExtension, withoutExtension } from "../../../src/client/hello.ts";
import type { Hooks } from "../../../src/client/options.ts";
import type { Reason } from "../../../src/tls/error.ts";
import { ExtensionType, NamedGroup } from "../../../src/tls/wire/code-points.ts";
import { decodeServerHello } from "../../../src/tls/wire/server-hello.ts";
import {
  BASE_POINT_X25519,
  ext,
  hello,
  joined,
  plaintextRecords,
} from "../../support/hello-builder.ts";
import { Pair, type PairOptions } from "../../support/pair.ts";
import { feed, recordsOf } from "../../support/raw-server.ts";
import { testServer } from "../../support/server-config.ts";
import { echo, expectEnd, firstMessage, flipped, sessionsOf } from "./kit.ts";

const { x25519, secp256r1, secp384r1, X25519MLKEM768 } = NamedGroup;
const RETRIED = { groups: [x25519, secp256r1], keyShares: [] };

/** The second hello's fields, changed. */
const second = (change: (fields: HelloFields) => HelloFields): Hooks => ({
  hello: (fields, _role, attempt) => attempt === 2 ? change(fields) : fields,
});

describe("HelloRetryRequest", () => {
  test("tls13 4: it is a ServerHello of its own random with versions and a group, then change_cipher_spec", async () => {
    const fed = feed(await testServer(), plaintextRecords(hello({ keyShares: [] })));
    expect(fed.records).toEqual([22, 20]);
    const retry = decodeServerHello(firstMessage(fed.output.sent[0]!));
    expect(retry.isRetry).toBe(true);
    expect([...retry.extensionTypes].sort((a, b) => a - b)).toEqual([43, 51]);
    expect(retry.keyShare).toMatchObject({ group: x25519 });
    expect([...retry.sessionId]).toEqual(Array(32).fill(0x53));
    expect(fed.server.state).toBe("ExpectSecondClientHello");
  });

  test("tls13 1.3: one change_cipher_spec in all, after the HelloRetryRequest", async () => {
    const pair = await Pair.connect({ client: RETRIED });
    expect(recordsOf(pair.serverWire).map(({ type }) => type)).toEqual([22, 20, 22, 23]);
  });

  test.each([
    ["a group that has no share", { groups: [x25519, secp256r1], keyShares: [] }, x25519],
    [
      "a share of a group that is none of ours",
      { groups: [0x001e, x25519], keyShares: [0x001e] },
      x25519,
    ],
    ["GREASE shares alone", { groups: [0x2a2a, secp384r1], keyShares: [0x2a2a] }, secp384r1],
    ["post-quantum", { groups: [x25519, X25519MLKEM768], keyShares: [x25519] }, X25519MLKEM768],
  ])("tls13 4: for %s the handshake goes through", async (_, client, group) => {
    const server = { groups: [X25519MLKEM768, x25519, secp256r1, secp384r1] };
    for (const options of [{}, { chunkBytes: 1 }, { client: { fragmentBytes: 1 } }]) {
      const pair = await Pair.connect({
        ...options,
        server,
        client: { ...client, ...options.client },
      });
      expect(pair.negotiated).toMatchObject({ group, helloRetried: true });
      await echo(pair);
    }
  });

  test.each([0x1301, 0x1302, 0x1303])(
    "tls13 4.1: the transcript has message_hash in suite %i's hash",
    async (suite) => {
      const pair = await Pair.connect({ client: { ...RETRIED, suites: [suite] } });
      expect(pair.negotiated?.cipherSuite).toBe(suite);
      await echo(pair);
    },
  );

  test("tls13 4: none is sent where a share fits", async () => {
    const pair = await Pair.connect({ client: { keyShares: [secp256r1] } });
    expect(pair.negotiated).toMatchObject({ helloRetried: false, group: secp256r1 });
  });

  test("the site is asked for once", async () => {
    const pair = await Pair.connect({ client: RETRIED });
    expect(pair.output.asked.length).toBe(1);
  });
});

type Row = readonly [
  name: string,
  change: (fields: HelloFields) => HelloFields,
  reason: Reason,
  alert: AlertName,
];

const put = (...extension: Parameters<typeof withExtension>[1][]) => (fields: HelloFields) =>
  extension.reduce(withExtension, fields);
const drop = (...types: number[]) => (fields: HelloFields) => withoutExtension(fields, ...types);
const differs = "second ClientHello differs";

const rows: readonly Row[] = [
  [
    "another group's share",
    put(ext.keyShare([[secp384r1, new Uint8Array(97).fill(4)]])),
    "second ClientHello without the asked key share",
    "illegal_parameter",
  ],
  [
    "no share",
    put(ext.keyShare([])),
    "second ClientHello without the asked key share",
    "illegal_parameter",
  ],
  [
    "two shares",
    put(ext.keyShare([[x25519, BASE_POINT_X25519], [secp256r1, new Uint8Array(65).fill(4)]])),
    "second ClientHello without the asked key share",
    "illegal_parameter",
  ],
  ["no key_share", drop(51), "missing key_share", "missing_extension"],
  ["early_data", put(ext.earlyData()), "second ClientHello with early_data", "illegal_parameter"],
  [
    "a cookie that nobody sent",
    put(ext.cookie(new Uint8Array(8))),
    "second ClientHello with a cookie",
    "illegal_parameter",
  ],
  ["another random", (f) => ({ ...f, random: new Uint8Array(32) }), differs, "illegal_parameter"],
  [
    "another session id",
    (f) => ({ ...f, sessionId: new Uint8Array(32) }),
    differs,
    "illegal_parameter",
  ],
  [
    "fewer suites",
    (f) => ({ ...f, cipherSuites: f.cipherSuites.slice(1) }),
    differs,
    "illegal_parameter",
  ],
  ["another server name", put(ext.serverName("b.example")), differs, "illegal_parameter"],
  ["no server name", drop(0), differs, "illegal_parameter"],
  ["other protocols", put(ext.alpn(["h2"])), differs, "illegal_parameter"],
  ["other groups", put(ext.supportedGroups([x25519])), differs, "illegal_parameter"],
  ["other schemes", put(ext.signatureAlgorithms([0x0403])), differs, "illegal_parameter"],
  ["other PSK modes", put(ext.pskKeyExchangeModes([1, 0])), differs, "illegal_parameter"],
  ["another ticket_request", put(ext.ticketRequest(1, 1)), differs, "illegal_parameter"],
  ["another record_size_limit", put(ext.recordSizeLimit(64)), differs, "illegal_parameter"],
  [
    "other versions",
    put(ext.supportedVersions([0x0304, 0x0303])),
    differs,
    "illegal_parameter",
  ],
  [
    "a share that is none",
    put(ext.keyShare([[x25519, new Uint8Array(32)]])),
    "bad key share",
    "illegal_parameter",
  ],
  [
    "a share without a byte",
    put(ext.keyShare([[x25519, new Uint8Array(0)]])),
    "vector too short",
    "decode_error",
  ],
  ["no versions", drop(43), "no TLS version in common", "protocol_version"],
  [
    "a duplicate extension",
    (f) => ({ ...f, extensions: [...f.extensions!, [0x7777, DUMMY], [0x7777, DUMMY]] }),
    "duplicate extension",
    "decode_error",
  ],
];
const DUMMY = new Uint8Array(0);

describe("the second hello is refused in clear", () => {
  for (const [name, change, reason, alert] of rows) {
    test(`tls13 4: with ${name}: ${alert}`, async () => {
      const pair = await Pair.attempt({ client: { ...RETRIED, hooks: second(change) } });
      expectEnd(pair, reason, alert, "plaintext");
      expect(recordsOf(pair.serverWire).map(({ type }) => type)).toEqual([22, 20, 21]);
    });
  }

  test("tls13 4: with bytes behind it: unexpected_message", async () => {
    let hellos = 0;
    const pair = await Pair.attempt({
      client: {
        ...RETRIED,
        hooks: {
          beforeSend: (message, type) =>
            type === 1 && ++hellos === 2 ? joined([message, Uint8Array.of(20)]) : message,
        },
      },
    });
    expectEnd(pair, "excess handshake bytes", "unexpected_message", "plaintext");
  });

  test("tls13 4: another record than CCS, alert or handshake is unexpected_message", async () => {
    const fed = feed(await testServer(), [
      plaintextRecords(hello({ keyShares: [] })),
      plaintextRecords(new Uint8Array(20), { type: 23 }),
    ]);
    expect([fed.reason, fed.alert]).toEqual(["unexpected record", "unexpected_message"]);
  });

  test("tls13 4: never a second HelloRetryRequest", async () => {
    const first = hello({ groups: [x25519], keyShares: [] });
    const fed = feed(await testServer(), [plaintextRecords(first), plaintextRecords(first)]);
    expect([fed.reason, fed.alert]).toEqual([
      "second ClientHello without the asked key share",
      "illegal_parameter",
    ]);
  });

  test("tls13 2: bytes of a second hello behind the first are not taken for one", async () => {
    const fed = feed(
      await testServer(),
      plaintextRecords(joined([hello({ keyShares: [] }), hello().subarray(0, 40)])),
    );
    expect([fed.reason, fed.alert]).toEqual(["excess handshake bytes", "unexpected_message"]);
  });
});

describe("what may change in the second hello", () => {
  const may: readonly [string, Hooks][] = [
    ["padding", second(put(ext.padding(77)))],
    ["an extension that nobody knows", second(put([0x7777, DUMMY]))],
    ["a GREASE ECH", second(put([ExtensionType.encrypted_client_hello, new Uint8Array(40)]))],
  ];
  test.each(may)("tls13 4: %s", async (_, hooks) => {
    const pair = await Pair.connect({ client: { ...RETRIED, hooks } });
    await echo(pair);
  });

  test("tls13 4: change_cipher_spec before it, in it not", async () => {
    const ccs = Uint8Array.of(20, 3, 3, 0, 1, 1);
    const server = await testServer();
    const first = plaintextRecords(hello({ groups: [x25519], keyShares: [] }));
    const next = hello({ groups: [x25519] });
    const taken = feed(server, [first, ccs, plaintextRecords(next)]);
    expect(taken.server.state).toBe("ExpectFinished");
    const refused = feed(server, [
      first,
      plaintextRecords(next.subarray(0, 9)),
      ccs,
      plaintextRecords(next.subarray(9)),
    ]);
    expect(refused.reason).toBe("interleaved handshake message");
  });
});

describe("a PSK through a HelloRetryRequest", () => {
  async function resuming(
    client: PairOptions["client"],
    count = 2,
    suites?: readonly number[],
  ): Promise<Pair> {
    const server = await testServer();
    const sessions = (await sessionsOf(server, suites ? { client: { suites } } : {}))
      .slice(0, count);
    return await Pair.attempt({ server, client: { ...RETRIED, sessions, ...client } });
  }
  test.each([0x1301, 0x1302])("tls13 4.1: the binder covers it, suite %i", async (suite) => {
    const pair = await resuming({ suites: [suite] }, 2, [suite]);
    expect(pair.negotiated).toMatchObject({ resumed: true, helloRetried: true });
    await echo(pair);
  });

  test("tls13 4: all PSKs gone is missing_extension", async () => {
    const pair = await resuming({ hooks: second(drop(41)) });
    expectEnd(pair, "second ClientHello without PSKs", "missing_extension", "plaintext");
  });

  test("tls13 4: the chosen PSK gone is illegal_parameter", async () => {
    const stranger = ext.preSharedKey(
      [{ identity: new Uint8Array(240).fill(7), obfuscatedAge: 0 }],
      [new Uint8Array(32)],
    );
    const pair = await resuming({
      hooks: { beforeSend: replacingPsks(stranger[1]) },
    });
    expectEnd(pair, "second ClientHello without its PSK", "illegal_parameter", "plaintext");
  });

  test("tls13 4: a wrong binder in the second hello is decrypt_error", async () => {
    let hellos = 0;
    const pair = await resuming({
      hooks: {
        beforeSend: (message, type) =>
          type === 1 && ++hellos === 2
            ? message.map((byte, i) => i === message.length - 34 ? byte ^ 1 : byte)
            : message,
      },
    });
    expectEnd(pair, "incorrect binder", "decrypt_error", "plaintext");
  });

  const identity = { identity: new Uint8Array(240).fill(7), obfuscatedAge: 0 };
  const binder = new Uint8Array(32);
  test.each(
    [
      ["no binder", ext.preSharedKey([identity], []), "vector too short", "decode_error"],
      [
        "a binder too many",
        ext.preSharedKey([identity], [binder, binder]),
        "identities and binders differ in number",
        "illegal_parameter",
      ],
      [
        "an identity too many",
        ext.preSharedKey([identity, identity], [binder]),
        "identities and binders differ in number",
        "illegal_parameter",
      ],
    ] as const,
  )("tls13 7: %s in the second hello", async (_, extension, reason, alert) => {
    const pair = await resuming({ hooks: { beforeSend: replacingPsks(extension[1]) } });
    expectEnd(pair, reason, alert, "plaintext");
  });

  test("tls13 7: a binder of another length in the second hello is decrypt_error", async () => {
    const server = await testServer();
    const [session] = await sessionsOf(server);
    const offered = { identity: session!.ticket, obfuscatedAge: 0 };
    for (const length of [0, 31, 33]) {
      const extension = ext.preSharedKey([offered], [new Uint8Array(length)]);
      const pair = await Pair.attempt({
        server,
        client: {
          ...RETRIED,
          sessions: [session!],
          hooks: { beforeSend: replacingPsks(extension[1]) },
        },
      });
      expectEnd(pair, "incorrect binder", "decrypt_error", "plaintext");
    }
  });

  test("tls13 7: pre_shared_key before another extension in the second hello", async () => {
    const pair = await resuming({
      hooks: second((fields) => ({
        ...fields,
        extensions: [...fields.extensions!, [0x7777, DUMMY]],
      })),
    });
    expectEnd(pair, "pre_shared_key is not last", "illegal_parameter", "plaintext");
  });

  test("tls13 4.1: the first hello's binders are not looked at then", async () => {
    let hellos = 0;
    const pair = await resuming({
      hooks: {
        beforeSend(message, type) {
          if (type !== 1 || ++hellos !== 1) return message;
          return flipped(flipped(message, -1), -34);
        },
      },
    });
    expect(pair.negotiated).toMatchObject({ resumed: true, helloRetried: true });
    await echo(pair);
  });

  test("tls13 4: the chosen PSK may move to another index", async () => {
    const server = await testServer();
    const [ours] = await sessionsOf(server);
    const foreign = { ...ours!, ticket: new Uint8Array(ours!.ticket.length).fill(3) };
    // In another hash: the client leaves it out of its second hello, as RFC 9846 §4.2.2 tells it to.
    const elsewhere = { ...foreign, suite: 0x1302, psk: new Uint8Array(48) };
    const pair = await Pair.connect({
      server,
      client: { ...RETRIED, sessions: [elsewhere, foreign, ours!] },
    });
    expect(pair.negotiated).toMatchObject({ resumed: true, helloRetried: true });
    await echo(pair);
  });

  test("tls13 4: PSKs that nobody chose may go or come", async () => {
    const server = await testServer();
    const [ours] = await sessionsOf(server);
    const foreign = { ...ours!, ticket: new Uint8Array(ours!.ticket.length).fill(3) };
    const pair = await Pair.connect({
      server,
      client: { ...RETRIED, sessions: [foreign], hooks: second(drop(41)) },
    });
    expect(pair.negotiated).toMatchObject({ resumed: false, helloRetried: true });
  });
});

/** The second hello with another pre_shared_key, which stands last. */
function replacingPsks(body: Uint8Array): NonNullable<Hooks["beforeSend"]> {
  let hellos = 0;
  return (message, type) => {
    if (type !== 1 || ++hellos !== 2) return message;
    return withLastExtension(message, ExtensionType.pre_shared_key, body);
  };
}

function withLastExtension(message: Uint8Array, type: number, body: Uint8Array): Uint8Array {
  const u16 = (at: number) => (message[at]! << 8) | message[at + 1]!;
  let at = 39 + message[38]!;
  at += 2 + u16(at);
  at += 1 + message[at]!;
  const extensionsAt = at;
  at += 2;
  while (u16(at) !== type) at += 4 + u16(at + 2);
  const extension = joined([
    Uint8Array.of(type >> 8, type & 255, body.length >> 8, body.length & 255),
    body,
  ]);
  const bytes = joined([message.subarray(0, at), extension]);
  const length = bytes.length - 4;
  bytes.set([length >> 16, length >> 8, length], 1);
  const extensions = bytes.length - extensionsAt - 2;
  bytes.set([extensions >> 8, extensions], extensionsAt);
  return bytes;
}
