import { describe, expect, test } from "vitest";
import type { AlertName } from "../../../src/tls/alert.ts";
import type { Hooks } from "../../../src/client/options.ts";
import type { Reason } from "../../../src/tls/error.ts";
import type { ClientVerdict } from "../../../src/tls/output.ts";
import { decodeCertificateRequest } from "../../../src/tls/wire/certificate-request.ts";
import { HandshakeType, SignatureScheme } from "../../../src/tls/wire/code-points.ts";
import { Writer } from "../../../src/tls/wire/writer.ts";
import { joined } from "../../support/hello-builder.ts";
import { Pair, type PairOptions } from "../../support/pair.ts";
import { testServer } from "../../support/server-config.ts";
import {
  clientCertificate,
  echo,
  expectEnd,
  flipped,
  messagesOf,
  opened,
  SecretLog,
} from "./kit.ts";
import { recordsOf } from "../../support/raw-server.ts";

const { certificate, certificate_verify, compressed_certificate } = HandshakeType;
const MODES = ["request", "require", "verify_if_given", "require_and_verify"] as const;

/** The client's message of that type, changed. */
const changing = (
  type: number,
  change: (message: Uint8Array) => Uint8Array | Uint8Array[],
): Hooks => ({
  beforeSend: (message, sent) => sent === type ? change(message) : message,
});

/** A message of `type` with that body. */
function message(type: number, body: Uint8Array): Uint8Array {
  const { length } = body;
  return joined([Uint8Array.of(type, length >> 16, length >> 8, length), body]);
}

/** Its body, changed; its length corrected. */
const body = (whole: Uint8Array, change: (body: Uint8Array) => Uint8Array): Uint8Array =>
  message(whole[0]!, change(whole.slice(4)));

async function showing(
  hooks: Hooks,
  options: PairOptions = {},
): Promise<Pair> {
  return await Pair.attempt({
    server: { clientAuth: "require" },
    ...options,
    client: { certificate: await clientCertificate(), hooks, ...options.client },
  });
}

describe("asking for a certificate", () => {
  test("tls13 5: nobody is asked where the site does not want to know", async () => {
    const pair = await Pair.connect({ client: { certificate: await clientCertificate() } });
    expect(pair.client.negotiated.certificateRequested).toBe(false);
    expect(pair.negotiated?.client).toBeUndefined();
  });

  test("tls13 5: the request has an empty context, schemes without SHA-1 and PKCS#1, and the CAs", async () => {
    const name = Uint8Array.of(0x30, 0);
    for (const authorities of [[], [name, name]]) {
      const secrets = new SecretLog();
      const pair = await Pair.connect({
        server: {
          clientAuth: { mode: "request", authorities },
          compression: [1],
          server: { keyLog: secrets.add },
        },
        client: { suites: [0x1301] },
      });
      expect(pair.client.negotiated.certificateRequested).toBe(true);
      const flight = recordsOf(pair.serverWire)[2]!;
      const messages = messagesOf(
        opened(secrets.get("SERVER_HANDSHAKE_TRAFFIC_SECRET"), 0, flight.fragment).content,
      );
      expect(messages.map((message) => message[0])).toEqual([8, 13, 11, 15, 20]);
      const request = decodeCertificateRequest(messages[1]!);
      expect(request.compression).toEqual([1]);
      expect(request.authorities).toEqual(authorities);
      expect(request.signatureSchemes).toContain(0x0403);
      for (const scheme of request.signatureSchemes) {
        expect([0x0201, 0x0203, 0x0401, 0x0501, 0x0601]).not.toContain(scheme);
      }
    }
  });

  test.each(MODES)(
    "policy 7.1: %s takes a certificate and says what is known of it",
    async (mode) => {
      const pair = await showing({}, {
        server: { clientAuth: mode },
        verdict: () => ({ verdict: "verified" }),
      });
      const asks = mode === "verify_if_given" || mode === "require_and_verify";
      expect(pair.output.clientChains.length).toBe(asks ? 1 : 0);
      expect(pair.negotiated?.client?.verdict).toBe(asks ? "verified" : "unverified");
      const { chain } = await clientCertificate();
      expect(pair.negotiated?.client?.chain).toEqual(chain);
      await echo(pair);
    },
  );

  test.each(["request", "verify_if_given"] as const)(
    "policy 7.1: %s goes on without one, and asks nobody",
    async (mode) => {
      const pair = await Pair.connect({ server: { clientAuth: mode } });
      expect(pair.negotiated?.client).toBeUndefined();
      expect(pair.output.clientChains).toEqual([]);
      await echo(pair);
    },
  );

  test.each(["require", "require_and_verify"] as const)(
    "tls13 5: %s without one is certificate_required, under application keys",
    async (mode) => {
      const pair = await Pair.attempt({ server: { clientAuth: mode } });
      expectEnd(pair, "certificate required", "certificate_required", "application");
      expect(pair.negotiated).toBeUndefined();
    },
  );

  test("policy 7.3: such a site issues no tickets and says so", async () => {
    const pair = await Pair.connect({
      server: { clientAuth: "request", site: { tickets: true } },
      client: { ticketRequest: { newSessionCount: 3, resumptionCount: 3 } },
    });
    expect(pair.client.negotiated.expectedTickets).toBe(0);
    expect(await pair.tickets()).toEqual([]);
  });

  test("policy 7.3: such a site takes none, not even with its policy and tickets on", async () => {
    const open = await testServer();
    const sessions = await (await Pair.connect({ server: open })).tickets();
    const site = {
      ...open.site,
      clientAuth: { mode: "require", authorities: [] } as const,
      tickets: true,
    };
    const pair = await Pair.attempt({ server: { ...open, site }, client: { sessions } });
    expectEnd(pair, "certificate required", "certificate_required", "application");
  });

  test.each(["p256", "p384", "rsa", "ed25519"] as const)(
    "tls13 5: a key of kind %s",
    async (kind) => {
      const pair = await showing({}, { client: { certificate: await clientCertificate(kind) } });
      expect(pair.negotiated?.client?.chain.length).toBe(1);
      await echo(pair);
    },
  );

  test("tls13 5: extra certificates of any kind may follow the leaf", async () => {
    const { chain, keyPem } = await clientCertificate();
    const more = [chain[0]!, Uint8Array.of(1), chain[0]!];
    const pair = await showing({}, {
      client: { certificate: { chain: [chain[0]!, ...more], keyPem } },
    });
    expect(pair.negotiated?.client?.chain.length).toBe(4);
  });

  test("tls13 11: compressed, if we listed the algorithm", async () => {
    for (const chunkBytes of [100_000, 1]) {
      const pair = await showing({}, {
        chunkBytes,
        server: { clientAuth: "require", compression: [1] },
        client: { certificate: { ...await clientCertificate(), compression: 1 } },
      });
      expect(pair.negotiated?.client?.chain).toEqual((await clientCertificate()).chain);
      await echo(pair);
    }
  });
});

type Row = readonly [name: string, hooks: Hooks, reason: Reason, alert: AlertName];

/** A Certificate with one entry of `der` and those extensions. */
function entryWith(
  der: Uint8Array,
  extensions: readonly (readonly [number, Uint8Array])[],
): Uint8Array {
  const w = new Writer(64);
  w.u8(certificate).vector24(() => {
    w.u8(0).vector24(() => {
      w.vector24(() => void w.bytes(der)).vector16(() => {
        for (const [type, bytes] of extensions) w.u16(type).vector16(() => void w.bytes(bytes));
      });
    });
  });
  return w.copy();
}

const { chain: [LEAF] } = await clientCertificate();
const ONE = Uint8Array.of(1);

const rows: readonly Row[] = [
  [
    "5: trailing data in Certificate",
    changing(certificate, (m) => body(m, (b) => joined([b, ONE]))),
    "trailing bytes",
    "decode_error",
  ],
  [
    "5: a Certificate that is cut",
    changing(certificate, (m) => body(m, (b) => b.slice(0, -1))),
    "message too short",
    "decode_error",
  ],
  [
    "5: a certificate of no bytes",
    changing(certificate, () => entryWith(new Uint8Array(0), [])),
    "vector too short",
    "decode_error",
  ],
  [
    "5: a leaf that is no certificate",
    changing(certificate, () => entryWith(Uint8Array.of(0x30, 1, 0), [])),
    "unparsable certificate",
    "decode_error",
  ],
  [
    "5: a context that we did not send",
    changing(certificate, (m) => body(m, (b) => joined([Uint8Array.of(1, 9), b.slice(1)]))),
    "bad certificate_request_context",
    "illegal_parameter",
  ],
  [
    "5: a staple that nobody asked for",
    changing(certificate, () => entryWith(LEAF!, [[5, Uint8Array.of(1, 0, 0, 1, 0)]])),
    "unsolicited certificate extension",
    "unsupported_extension",
  ],
  [
    "5: an extension that nobody knows",
    changing(certificate, () => entryWith(LEAF!, [[0x7777, ONE]])),
    "unsolicited certificate extension",
    "unsupported_extension",
  ],
  [
    "5: a CertificateVerify that is changed",
    changing(certificate_verify, (m) => flipped(m, -1)),
    "incorrect CertificateVerify",
    "decrypt_error",
  ],
  [
    "5: a CertificateVerify without a signature",
    changing(certificate_verify, (m) => body(m, (b) => joined([b.slice(0, 2), new Uint8Array(2)]))),
    "incorrect CertificateVerify",
    "decrypt_error",
  ],
  [
    "5: trailing data in CertificateVerify",
    changing(certificate_verify, (m) => body(m, (b) => joined([b, ONE]))),
    "trailing bytes",
    "decode_error",
  ],
  ...([
    ["SHA-1", 0x0203],
    ["PKCS#1", SignatureScheme.rsa_pkcs1_sha256],
    ["another curve", SignatureScheme.ecdsa_secp384r1_sha384],
    ["another kind of key", SignatureScheme.ed25519],
    ["a scheme that nobody knows", 0x7777],
  ] as const).map(([name, scheme]): Row => [
    `5: a CertificateVerify of ${name}`,
    changing(
      certificate_verify,
      (m) => body(m, (b) => joined([Uint8Array.of(scheme >> 8, scheme & 255), b.slice(2)])),
    ),
    "unoffered signature scheme",
    "illegal_parameter",
  ]),
  [
    "5: Certificate without CertificateVerify",
    changing(certificate_verify, () => []),
    "unexpected message",
    "unexpected_message",
  ],
  [
    "5: Certificate twice",
    changing(certificate, (m) => [m, m]),
    "unexpected message",
    "unexpected_message",
  ],
  [
    "5: no Certificate at all",
    { beforeSend: (m, type) => type === certificate || type === certificate_verify ? [] : m },
    "unexpected message",
    "unexpected_message",
  ],
  [
    "5: CertificateVerify twice",
    changing(certificate_verify, (m) => [m, m]),
    "unexpected message",
    "unexpected_message",
  ],
  [
    "5: CertificateVerify behind an empty Certificate",
    changing(certificate, () => Uint8Array.of(certificate, 0, 0, 4, 0, 0, 0, 0)),
    "certificate required",
    "certificate_required",
  ],
  [
    "11: CompressedCertificate though we listed nothing",
    changing(
      certificate,
      (m) =>
        message(
          compressed_certificate,
          joined([Uint8Array.of(0, 1, 0, 0, 9, 0, 0, 1), m.slice(0, 1)]),
        ),
    ),
    "unexpected message",
    "unexpected_message",
  ],
];

describe("what is wrong with it is said under application keys", () => {
  for (const [name, hooks, reason, alert] of rows) {
    test(`tls13 ${name}: ${alert}`, async () => {
      for (const chunkBytes of [100_000, 1]) {
        const pair = await showing(hooks, { chunkBytes });
        expectEnd(pair, reason, alert, "application");
        expect(pair.negotiated).toBeUndefined();
      }
    });
  }

  test("tls13 5: CertificateVerify behind an empty Certificate where none is required", async () => {
    const pair = await showing(
      changing(certificate, () => Uint8Array.of(certificate, 0, 0, 4, 0, 0, 0, 0)),
      { server: { clientAuth: "request" } },
    );
    expectEnd(pair, "unexpected message", "unexpected_message", "application");
  });

  test("tls13 5: a certificate unasked is unexpected_message", async () => {
    const pair = await Pair.attempt({
      client: {
        hooks: changing(20, (m) => [entryWith(LEAF!, []), m]),
      },
    });
    expectEnd(pair, "unexpected message", "unexpected_message", "application");
  });

  test("tls13 5: one whose keyUsage forbids signing is unsupported_certificate", async () => {
    const server = await testServer({ clientAuth: "require" });
    const config = {
      ...server.config,
      readCertificate: (der: Uint8Array) => ({
        ...server.config.readCertificate(der)!,
        maySign: false,
      }),
    };
    const pair = await showing({}, { server: { ...server, config } });
    expectEnd(pair, "unsupported certificate", "unsupported_certificate", "application");
  });

  const verdicts: readonly [Extract<ClientVerdict, { refuse: string }>["refuse"], AlertName][] = [
    ["bad certificate", "bad_certificate"],
    ["unsupported certificate", "unsupported_certificate"],
    ["certificate revoked", "certificate_revoked"],
    ["certificate expired", "certificate_expired"],
    ["unknown certificate", "certificate_unknown"],
    ["unknown CA", "unknown_ca"],
    ["access denied", "access_denied"],
  ];
  test.each(verdicts)("tls13 5: the verdict %s is %s", async (refuse, alert) => {
    const pair = await showing({}, {
      server: { clientAuth: "require_and_verify" },
      verdict: () => ({ refuse }),
    });
    expectEnd(pair, refuse, alert, "application");
  });

  test("tls13 5: CertificateVerify is checked before anyone looks at the identity", async () => {
    const pair = await showing(changing(certificate_verify, (m) => flipped(m, -1)), {
      server: { clientAuth: "require_and_verify" },
    });
    expect(pair.output.clientChains).toEqual([]);
  });

  test("tls13 5: Finished is checked after a certificate as well, and without", async () => {
    for (const shown of [{ certificate: await clientCertificate() }, {}]) {
      const pair = await Pair.attempt({
        server: { clientAuth: "request" },
        client: { ...shown, hooks: changing(20, (m) => flipped(m, 4)) },
      });
      expectEnd(pair, "incorrect Finished", "decrypt_error", "application");
    }
  });
});

describe("a compressed certificate", () => {
  const compressed = (algorithm: number, size: number, data: Uint8Array): Uint8Array =>
    message(
      compressed_certificate,
      joined([
        Uint8Array.of(algorithm >> 8, algorithm, size >> 16, size >> 8, size),
        Uint8Array.of(data.length >> 16, data.length >> 8, data.length),
        data,
      ]),
    );
  /** `inflate` stands for the algorithm 1. */
  async function sending(
    sent: (size: number) => Uint8Array,
    inflate?: (data: Uint8Array, limit: number) => Uint8Array,
  ): Promise<Pair> {
    const server = await testServer({ clientAuth: "require", compression: [1] });
    const config = inflate === undefined
      ? server.config
      : { ...server.config, decompress: new Map([[1, inflate]]) };
    return await showing(changing(certificate, (m) => sent(m.length - 4)), {
      server: { ...server, config },
    });
  }

  test("tls13 11: by an algorithm that we did not list is illegal_parameter", async () => {
    const pair = await sending((size) => compressed(2, size, ONE));
    expectEnd(pair, "unoffered certificate compression", "illegal_parameter", "application");
  });

  test("tls13 11: of a broken stream is bad_certificate", async () => {
    const pair = await sending((size) => compressed(1, size, ONE));
    expectEnd(pair, "bad compressed certificate", "bad_certificate", "application");
  });

  test.each([1, -1])("tls13 11: of %i byte more than declared is bad_certificate", async (more) => {
    const pair = await sending(
      (size) => compressed(1, size, ONE),
      (_, limit) => new Uint8Array(limit + more),
    );
    expectEnd(pair, "bad compressed certificate", "bad_certificate", "application");
  });

  test("tls13 11: that declares more than we take is bad_certificate before anything is inflated", async () => {
    let calls = 0;
    const pair = await sending(
      () => compressed(1, 102_401, ONE),
      (_, limit) => {
        calls++;
        return new Uint8Array(limit);
      },
    );
    expectEnd(pair, "bad compressed certificate", "bad_certificate", "application");
    expect(calls).toBe(0);
  });

  test("tls13 11: without data, or with trailing bytes, is decode_error", async () => {
    const empty = await sending((size) => compressed(1, size, new Uint8Array(0)));
    expectEnd(empty, "vector too short", "decode_error", "application");
    const long = await sending((size) => body(compressed(1, size, ONE), (b) => joined([b, ONE])));
    expectEnd(long, "trailing bytes", "decode_error", "application");
  });

  test("tls13 11: what is inflated is read as any Certificate", async () => {
    const garbage = await sending(
      (size) => compressed(1, size, ONE),
      (_, limit) => new Uint8Array(limit).fill(255),
    );
    expectEnd(garbage, "message too short", "decode_error", "application");
  });
});

test("tls13 5: a chain is the connection's: it outlives the bytes that it came in", async () => {
  const pair = await showing({}, {
    server: { clientAuth: "require_and_verify" },
    verdict: () => undefined,
  });
  await pair.until(() => pair.server.state === "AwaitClientVerdict");
  const { chain } = await clientCertificate();
  await pair.client.write(ONE);
  expect(pair.output.clientChains[0]).toEqual(chain);
});
