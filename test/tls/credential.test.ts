import { deflateSync, inflateSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { ServerCredential } from "../../src/tls/credential.ts";
import { DEFAULT_LIMITS } from "../../src/tls/limits.ts";
import { decodeCertificate, decodeCompressedCertificate } from "../../src/tls/wire/certificate.ts";
import { type ClientHello, parseClientHello } from "../../src/tls/wire/client-hello.ts";
import { SignatureScheme } from "../../src/tls/wire/code-points.ts";
import { ext, type Extension, hello } from "../support/hello-builder.ts";
import { zeros } from "./record-kit.ts";

const ZLIB = 1;
const BROTLI = 2;
const CHAIN = [zeros(900).fill(1), zeros(800).fill(2)];
const OCSP = Uint8Array.of(0x30, 3, 0x0a, 1, 0);
const SCTS = Uint8Array.of(0, 4, 0, 2, 7, 7);
const BOTH = { ocsp: true, sct: true };

function parsed(options: { extensions?: Extension[]; schemes?: number[] } = {}): ClientHello {
  const { extensions = [], schemes } = options;
  const message = hello({
    replace: extensions,
    ...(schemes === undefined ? {} : { signatureSchemes: schemes }),
  });
  const client = parseClientHello(message);
  client.checkExtensions();
  return client;
}

function credential(parts: Partial<ConstructorParameters<typeof ServerCredential>[0]> = {}) {
  return new ServerCredential({
    id: "a.example",
    chain: CHAIN,
    schemes: [SignatureScheme.ecdsa_secp256r1_sha256],
    sign: undefined,
    notAfterMs: 1,
    ...parts,
  });
}

/** A compression that counts how often it works. */
function counted(compress: (body: Uint8Array) => Uint8Array) {
  const counter = { calls: 0 };
  const counting = (body: Uint8Array) => {
    counter.calls++;
    return compress(body);
  };
  return { counter, compress: counting };
}

const NONE = new Map<number, (body: Uint8Array) => Uint8Array>();
const withOcsp = ext.statusRequest();
const withSct = ext.signedCertificateTimestamp();

describe("schemeFor", () => {
  test("tls13 3: it is our first scheme that the client lists", () => {
    const { rsa_pss_rsae_sha256, rsa_pss_rsae_sha512, ed25519 } = SignatureScheme;
    const rsa = credential({ schemes: [rsa_pss_rsae_sha512, rsa_pss_rsae_sha256] });
    expect(rsa.schemeFor(parsed({ schemes: [rsa_pss_rsae_sha256, rsa_pss_rsae_sha512] })))
      .toBe(rsa_pss_rsae_sha512);
    expect(rsa.schemeFor(parsed({ schemes: [ed25519, rsa_pss_rsae_sha256] })))
      .toBe(rsa_pss_rsae_sha256);
    expect(rsa.schemeFor(parsed({ schemes: [ed25519] }))).toBeUndefined();
  });

  test("ServerCredential refuses an empty chain and an empty list of schemes", () => {
    expect(() => credential({ chain: [] })).toThrow(RangeError);
    expect(() => credential({ schemes: [] })).toThrow(RangeError);
  });
});

describe("certificateMessage", () => {
  test("tls13 12: OCSP and SCT are on the leaf where the client asks and we have them", () => {
    const full = credential({ ocspResponse: OCSP, scts: SCTS });
    for (
      const [extensions, ocspResponse, scts] of [
        [[], undefined, undefined],
        [[withOcsp], OCSP, undefined],
        [[withSct], undefined, SCTS],
        [[withOcsp, withSct], OCSP, SCTS],
      ] as const
    ) {
      const message = full.certificateMessage(parsed({ extensions: [...extensions] }), NONE);
      const decoded = decodeCertificate(message, DEFAULT_LIMITS, BOTH);
      expect(decoded.context).toEqual(zeros(0));
      expect(decoded.chain).toEqual(CHAIN);
      expect(decoded.ocspResponse).toEqual(ocspResponse);
      expect(decoded.scts).toEqual(scts);
    }
  });

  test("tls13 12: without a staple the client that asks gets the plain message", () => {
    const bare = credential();
    const asking = bare.certificateMessage(parsed({ extensions: [withOcsp, withSct] }), NONE);
    expect(asking).toBe(bare.certificateMessage(parsed(), NONE));
  });

  test("tls13 11: what is compressed is the Certificate's body without its header", () => {
    const full = credential({ ocspResponse: OCSP, scts: SCTS });
    const offer = [ext.compressCertificate([BROTLI, ZLIB]), withOcsp];
    const zlib = new Map([[ZLIB, (body: Uint8Array) => new Uint8Array(deflateSync(body))]]);
    const message = full.certificateMessage(parsed({ extensions: offer }), zlib);
    const plain = full.certificateMessage(parsed({ extensions: [withOcsp] }), zlib);
    const compressed = decodeCompressedCertificate(message);
    expect(compressed.algorithm).toBe(ZLIB);
    expect(compressed.uncompressedLength).toBe(plain.length - 4);
    expect(new Uint8Array(inflateSync(compressed.data))).toEqual(plain.slice(4));
    expect(message.length).toBeLessThan(plain.length);
  });

  test("tls13 11: the algorithm is our first that the client offers", () => {
    const ours = new Map([
      [BROTLI, () => Uint8Array.of(2)],
      [ZLIB, () => Uint8Array.of(1)],
    ]);
    const chosen = (offered: number[]) => {
      const client = parsed({ extensions: [ext.compressCertificate(offered)] });
      return decodeCompressedCertificate(credential().certificateMessage(client, ours)).algorithm;
    };
    expect(chosen([ZLIB, BROTLI])).toBe(BROTLI);
    expect(chosen([3, ZLIB])).toBe(ZLIB);
  });

  test("tls13 11: nothing is compressed unless the client offers what we have", () => {
    const { counter, compress } = counted(() => Uint8Array.of(1));
    const ours = new Map([[BROTLI, compress]]);
    const plain = credential().certificateMessage(parsed(), ours);
    const offersZlib = parsed({ extensions: [ext.compressCertificate([ZLIB])] });
    expect(credential().certificateMessage(offersZlib, ours)).toEqual(plain);
    expect(counter.calls).toBe(0);
  });

  test("tls13 11: the compressed form is used only where it is smaller", () => {
    const client = parsed({ extensions: [ext.compressCertificate([ZLIB])] });
    const bare = credential();
    const plain = bare.certificateMessage(parsed(), NONE);
    // CompressedCertificate: 4 bytes header, 2 algorithm, 3 length, 3 length of the data
    const equal = counted(() => zeros(plain.length - 12));
    expect(bare.certificateMessage(client, new Map([[ZLIB, equal.compress]]))).toBe(plain);
    expect(bare.certificateMessage(client, new Map([[ZLIB, equal.compress]]))).toBe(plain);
    expect(equal.counter.calls).toBe(1);
    const smaller = () => zeros(plain.length - 13);
    const message = credential().certificateMessage(client, new Map([[ZLIB, smaller]]));
    expect(message.length).toBe(plain.length - 1);
  });

  test("ServerCredential builds each message once", () => {
    const full = credential({ ocspResponse: OCSP, scts: SCTS });
    const { counter, compress } = counted((body) => new Uint8Array(deflateSync(body)));
    const ours = new Map([[ZLIB, compress]]);
    const messages = new Set<Uint8Array>();
    for (let round = 0; round < 3; round++) {
      for (const wish of [[], [withOcsp], [withSct], [withOcsp, withSct]]) {
        messages.add(full.certificateMessage(parsed({ extensions: wish }), ours));
        const offer = [...wish, ext.compressCertificate([ZLIB])];
        messages.add(full.certificateMessage(parsed({ extensions: offer }), ours));
      }
    }
    expect(messages.size).toBe(8);
    expect(counter.calls).toBe(4);
  });
});
