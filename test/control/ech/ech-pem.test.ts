import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { describe, expect, test } from "vitest";
import { generateEchKey } from "../../../src/control/ech/ech-keys.ts";
import { exportEchPem, importEchPem } from "../../../src/control/ech/ech-pem.ts";
import { chooseCrypto } from "../../../src/crypto/choose.ts";
import { echKey } from "../../../src/tls/ech.ts";
import { concat, echConfig, privateKey, publicKeyOf, u16 } from "../../support/ech-sender.ts";

const crypto = chooseCrypto();
const PARTS = { retry: true, createdMs: 1_700_000_000_000 };

/** The example of RFC 9934 §3. */
const RFC_9934 = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VuBCIEICjd4yGRdsoP9gU7YT7My8DHx1Tjme8GYDXrOMCi8v1V
-----END PRIVATE KEY-----
-----BEGIN ECHCONFIG-----
AD7+DQA65wAgACA8wVN2BtscOl3vQheUzHeIkVmKIiydUhDCliA4iyQRCwAEAAEA
AQALZXhhbXBsZS5jb20AAA==
-----END ECHCONFIG-----
`;

function pemBlock(label: string, bytes: Uint8Array): string {
  return `-----BEGIN ${label}-----\n${
    btoa(String.fromCharCode(...bytes))
  }\n-----END ${label}-----\n`;
}

function list(...configs: readonly Uint8Array[]): Uint8Array {
  const joined = concat(...configs);
  return concat(u16(joined.length), joined);
}

describe("importEchPem", () => {
  test("ech 16: reads the example of RFC 9934", () => {
    const [record, ...others] = importEchPem(crypto, RFC_9934, PARTS);
    expect(others).toEqual([]);
    expect(record).toMatchObject(PARTS);
    expect(echKey(crypto, record!).config).toMatchObject({
      configId: 0xe7,
      publicName: "example.com",
      maximumNameLength: 0,
      suites: [{ kdfId: 1, aeadId: 1 }],
    });
  });

  test("Other line ends, text around the blocks and another order of them do not matter", () => {
    const [key, config] = RFC_9934.split(/(?=-----BEGIN ECH)/) as [string, string];
    const expected = importEchPem(crypto, RFC_9934, PARTS);
    expect(importEchPem(crypto, RFC_9934.replaceAll("\n", "\r\n"), PARTS)).toEqual(expected);
    expect(importEchPem(crypto, `# a key\n${config}\n${key}\n`, PARTS)).toEqual(expected);
  });

  test("Of a list it takes the configs of its key, in their order", () => {
    const ours = (configId: number) =>
      echConfig({ configId, publicKey: publicKeyOf(privateKey(0)) });
    const other = echConfig({ configId: 9, publicKey: publicKeyOf(privateKey(1)) });
    const p256 = echConfig({ configId: 9, kemId: 0x0010, publicKey: publicKeyOf(privateKey(0)) });
    const unknown = echConfig({ configId: 9, version: 1, publicKey: publicKeyOf(privateKey(0)) });
    const one = exportEchPem({ privateKey: privateKey(0), config: ours(1), ...PARTS });
    const pem = one.split("-----BEGIN ECH")[0]! +
      pemBlock("ECHCONFIG", list(other, ours(2), unknown, p256, ours(1)));
    expect(importEchPem(crypto, pem, { ...PARTS, retry: false })).toEqual([2, 1].map((id) => ({
      privateKey: privateKey(0),
      config: ours(id),
      retry: false,
      createdMs: PARTS.createdMs,
    })));
  });

  test("Reads P-256 keys as the runtime writes them", () => {
    const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const pem = pair.privateKey.export({ type: "pkcs8", format: "pem" }) as string;
    const { x, y } = pair.publicKey.export({ format: "jwk" });
    const publicKey = concat(
      Uint8Array.of(4),
      new Uint8Array(Buffer.from(x!, "base64url")),
      new Uint8Array(Buffer.from(y!, "base64url")),
    );
    const config = echConfig({ configId: 3, kemId: 0x0010, publicKey });
    const [record] = importEchPem(crypto, pem + pemBlock("ECHCONFIG", list(config)), PARTS);
    expect(record!.config).toEqual(config);
    expect(importEchPem(crypto, exportEchPem(record!), PARTS)).toEqual([record]);
  });

  const good = RFC_9934.split(/(?=-----BEGIN ECH)/) as [string, string];
  const ed25519 = "-----BEGIN PRIVATE KEY-----\n" +
    "MC4CAQAwBQYDK2VwBCIEICjd4yGRdsoP9gU7YT7My8DHx1Tjme8GYDXrOMCi8v1V\n" +
    "-----END PRIVATE KEY-----\n";
  const other = list(echConfig({ configId: 9, publicKey: publicKeyOf(privateKey(1)) }));
  const rows: readonly (readonly [what: string, pem: string, message: string])[] = [
    ["nothing", "", "0 blocks PRIVATE KEY"],
    ["a file without a key", good[1], "0 blocks PRIVATE KEY"],
    ["a file without configs", good[0], "0 blocks ECHCONFIG"],
    ["two keys", good[0] + RFC_9934, "2 blocks PRIVATE KEY"],
    ["two lists", RFC_9934 + good[1], "2 blocks ECHCONFIG"],
    ["a key of another kind", ed25519 + good[1], "neither X25519 nor P-256"],
    ["a config of another key", good[0] + pemBlock("ECHCONFIG", other), "belongs to the PRIVATE"],
    ["an empty list", good[0] + pemBlock("ECHCONFIG", Uint8Array.of(0, 0)), "cannot be parsed"],
    ["a list cut short", good[0] + pemBlock("ECHCONFIG", other.slice(0, -1)), "cannot be parsed"],
    ["what is not base64", RFC_9934.replace("MC4C", "MC4?"), "not base64"],
    ["base64 cut short", RFC_9934.replace("8v1V", "8v1"), "not base64"],
    ["a key cut short", RFC_9934.replace("MC4C", "MC8C"), "not PKCS#8"],
    ["a key that is no sequence", RFC_9934.replace("MC4C", "BC4C"), "not PKCS#8"],
  ];
  for (const [what, pem, message] of rows) {
    test(`refuses ${what}`, () => {
      expect(() => importEchPem(crypto, pem, PARTS)).toThrow(RangeError);
      expect(() => importEchPem(crypto, pem, PARTS)).toThrow(message);
    });
  }

  test("Messages do not quote the key", () => {
    const secret = "ICjd4yGRdsoP9gU7YT7My8DHx1Tjme8GYDXrOMCi8v1V";
    for (const [, pem] of rows) {
      try {
        importEchPem(crypto, pem, PARTS);
      } catch (error) {
        expect(String(error)).not.toContain(secret.slice(4, 12));
      }
    }
  });
});

describe("exportEchPem", () => {
  test("ech 16: writes what RFC 9934 shows, byte for byte", () => {
    const [record] = importEchPem(crypto, RFC_9934, PARTS);
    expect(exportEchPem(record!)).toBe(RFC_9934);
  });

  test("What it writes the runtime reads, and so do we", () => {
    const record = generateEchKey(crypto, {
      publicName: "public.example",
      maximumNameLength: 0,
      knownIds: new Set(),
      nowMs: PARTS.createdMs,
    });
    const pem = exportEchPem(record);
    expect(createPrivateKey(pem.split("-----BEGIN ECH")[0]!).asymmetricKeyType).toBe("x25519");
    expect(importEchPem(crypto, pem, PARTS)).toEqual([record]);
  });

  test("refuses a private key of another length", () => {
    const config = echConfig({ configId: 1, publicKey: publicKeyOf(privateKey(0)) });
    expect(() => exportEchPem({ privateKey: new Uint8Array(31), config, ...PARTS })).toThrow(
      RangeError,
    );
  });
});
