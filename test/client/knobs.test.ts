/**
 * What a spoilt offer of ECH does to the server: every knob turns something, and the server says what.
 */
import { describe, expect, it } from "vitest";
import * as ext from "../../src/client/extensions.ts";
import { withExtension } from "../../src/client/hello.ts";
import type { ClientOptions, EchKnobs, EchOptions } from "../../src/client/options.ts";
import { ExtensionType, NamedGroup, TLS13 } from "../../src/tls/wire/code-points.ts";
import { joined } from "../support/hello-builder.ts";
import { Pair } from "../support/pair.ts";
import { testEchKey, type TestServer, testServer } from "../support/server-config.ts";

const { supported_groups, signature_algorithms, key_share, encrypted_client_hello: ECH } =
  ExtensionType;
const key = testEchKey();
const server: TestServer = await testServer({ ech: [key], groups: [NamedGroup.x25519] });

describe("a first hello", () => {
  const knob = async (knobs: EchKnobs, more: Partial<EchOptions> = {}) =>
    await attempt({ ech: { configList: key.configList, knobs, ...more } });

  it.each<[string, EchKnobs]>([
    ["config_id", { extension: (fields) => ({ ...fields, configId: 8 }) }],
    ["suite that the config lacks", { extension: (fields) => ({ ...fields, aeadId: 2 }) }],
    ["suite that nobody knows", { extension: (fields) => ({ ...fields, kdfId: 0xabcd }) }],
    ["short enc", { extension: (fields) => ({ ...fields, enc: fields.enc.subarray(1) }) }],
    ["empty enc", { extension: (fields) => ({ ...fields, enc: new Uint8Array(0) }) }],
    ["enc of zeros", { extension: (fields) => ({ ...fields, enc: new Uint8Array(32) }) }],
    ["payload", { extension: (fields) => ({ ...fields, payload: flipped(fields.payload) }) }],
    ["AAD", { aad: flipped }],
  ])("ech 13: another %s is never an alert, but a rejection", async (_, knobs) => {
    const pair = await knob(knobs);
    expect(pair.clientError).toMatchObject({ reason: "ECH rejected", echVerdict: "replaced" });
  });

  it.each<[string, EchKnobs, string, string]>([
    [
      "a type that is none",
      extension((body) => patched(body, 0, 7)),
      "bad ECHClientHelloType",
      "illegal_parameter",
    ],
    [
      "type inner from the network",
      extension(() => Uint8Array.of(1)),
      "ECH of type inner from the network",
      "illegal_parameter",
    ],
    [
      "a byte too many",
      extension((body) => joined([body, Uint8Array.of(0)])),
      "trailing bytes",
      "decode_error",
    ],
    [
      "a byte too few",
      extension((body) => body.subarray(0, -1)),
      "message too short",
      "decode_error",
    ],
    [
      "padding that is not zero",
      { encodedInner: (encoded) => patched(encoded, encoded.length - 1, 1) },
      "inner hello not zero-padded",
      "illegal_parameter",
    ],
    [
      "a session id in the encoding",
      { innerSessionId: new Uint8Array(32) },
      "inner hello with a session id",
      "decode_error",
    ],
    ["no mark", { innerMark: null }, "inner hello without its ECH mark", "illegal_parameter"],
    [
      "a wrong mark",
      { innerMark: Uint8Array.of(0) },
      "inner hello without its ECH mark",
      "illegal_parameter",
    ],
    [
      "references out of order",
      { outerExtensions: [key_share, supported_groups, signature_algorithms] },
      "bad ech_outer_extensions",
      "illegal_parameter",
    ],
    [
      "a reference twice",
      { outerExtensions: [supported_groups, supported_groups] },
      "bad ech_outer_extensions",
      "illegal_parameter",
    ],
    [
      "a reference to nothing",
      { outerExtensions: [0x7777] },
      "bad ech_outer_extensions",
      "illegal_parameter",
    ],
    [
      "a reference to ECH itself",
      { outerExtensions: [ECH] },
      "bad ech_outer_extensions",
      "illegal_parameter",
    ],
  ])("ech 13: %s", async (_, knobs, reason, alert) => {
    const pair = await knob(knobs);
    expect([pair.serverError?.reason, pair.alert]).toEqual([reason, alert]);
  });

  it("ech 13: an inner hello that offers TLS 1.2", async () => {
    const pair = await attempt({
      ech: { configList: key.configList },
      hooks: {
        hello: (fields, role) =>
          role === "inner" ? withExtension(fields, ext.supportedVersions([TLS13, 0x0303])) : fields,
      },
    });
    expect([pair.serverError?.reason, pair.alert]).toEqual([
      "inner hello offers TLS 1.2",
      "illegal_parameter",
    ]);
  });

  it("ech 4: references may skip over other extensions of the outer hello", async () => {
    const pair = await attempt({
      ech: { configList: key.configList, compress: [supported_groups, key_share] },
      hooks: {
        hello: (fields, role) => {
          if (role !== "outer") return fields;
          const extensions = [...fields.extensions!];
          const at = extensions.findIndex(([type]) => type === key_share);
          extensions.splice(at, 0, [0x7777, new Uint8Array(3)]);
          return { ...fields, extensions };
        },
      },
    });
    expect(pair.client.negotiated.ech).toBe("accepted");
  });

  it.each([null, "elsewhere.example"])("ech 3: any outer name will do: %s", async (outerName) => {
    expect((await knob({ outerName })).client.negotiated.ech).toBe("accepted");
  });

  it.each([[[]], [[key_share]]])("ech 4: compresses nothing, or little: %o", async (compress) => {
    expect((await knob({}, { compress })).client.negotiated.ech).toBe("accepted");
  });
});

describe("a second hello", () => {
  it.each<[string, EchKnobs, string, string]>([
    ["without ECH", second(() => undefined), "second ClientHello without ECH", "missing_extension"],
    [
      "of type inner",
      second(() => Uint8Array.of(1)),
      "second ClientHello with another ECH type",
      "illegal_parameter",
    ],
    [
      "with another config_id",
      second((fields) => ({ ...fields, configId: 8 })),
      "second ClientHello with another ECH config",
      "illegal_parameter",
    ],
    [
      "with another suite",
      second((fields) => ({ ...fields, aeadId: 3 })),
      "second ClientHello with another ECH config",
      "illegal_parameter",
    ],
    [
      "with an enc",
      { freshSecondContext: true },
      "second ClientHello with another ECH config",
      "illegal_parameter",
    ],
    [
      "with a payload that does not open",
      second((fields) => ({ ...fields, payload: flipped(fields.payload) })),
      "second ClientHello does not decrypt",
      "decrypt_error",
    ],
  ])("ech 7: %s", async (_, knobs, reason, alert) => {
    const pair = await attempt({
      groups: [NamedGroup.secp256r1, NamedGroup.x25519],
      ech: { configList: key.configList, knobs },
    });
    expect([pair.serverError?.reason, pair.alert]).toEqual([reason, alert]);
  });
});

async function attempt(client: Partial<ClientOptions>): Promise<Pair> {
  return await Pair.attempt({ server, client });
}

/** Changes the sealed extension as bytes. */
function extension(change: (body: Uint8Array) => Uint8Array): EchKnobs {
  return { extension: (fields) => change(ext.echOuter(fields)[1]) };
}

/** Changes the sealed extension of the second hello. */
function second(change: NonNullable<EchKnobs["extension"]>): EchKnobs {
  return { extension: (fields, attempt) => attempt === 1 ? fields : change(fields, attempt) };
}

function flipped(bytes: Uint8Array): Uint8Array {
  return patched(bytes, bytes.length - 1, bytes[bytes.length - 1]! ^ 1);
}

function patched(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const copy = bytes.slice();
  copy[at] = value;
  return copy;
}
