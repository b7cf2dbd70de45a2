import process from "node:process";
import { expect, test } from "vitest";

import { certificateCompression } from "../../../src/control/certificates/compression.ts";
import { CertificateCompressionAlgorithm } from "../../../src/tls/wire/code-points.ts";
import { make } from "../../x509/make.ts";

const { compress, decompress } = certificateCompression();
const issuer = await make({ subject: "CN=an authority", ca: true });
const leaf = await make({ issuer, names: [{ type: "dns", value: "a.example" }] });
const chain = Uint8Array.of(...leaf.certificate.der, ...issuer.certificate.der);

test("Every algorithm makes a chain smaller, and comes back as it was", () => {
  expect([...compress.keys()]).toEqual([...decompress.keys()]);
  for (const [algorithm, smaller] of compress) {
    const bytes = smaller(chain);
    expect(bytes.length).toBeLessThan(0.85 * chain.length);
    const back = decompress.get(algorithm)!(bytes, chain.length);
    expect(Buffer.compare(back, chain)).toBe(0);
  }
});

test("None of them takes many times what another does: of many names one is compressed for a handshake", () => {
  const { zlib } = CertificateCompressionAlgorithm;
  for (const algorithm of compress.keys()) {
    // As fast as it gets, for others run beside it.
    const [its, deflates] = [algorithm, zlib].map((one) => leastMicros(compress.get(one)!));
    expect(its, `algorithm ${algorithm}`).toBeLessThan(8 * deflates!);
  }
});

function leastMicros(smaller: (bytes: Uint8Array) => Uint8Array): number {
  const times = Array.from({ length: 20 }, () => {
    const before = process.cpuUsage();
    for (let i = 0; i < 20; i++) smaller(chain);
    const { user, system } = process.cpuUsage(before);
    return user + system;
  });
  return Math.min(...times);
}
