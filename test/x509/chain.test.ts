import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { ClientVerdict } from "../../src/tls/output.ts";
import { certificatesFromPem, ExtendedKeyUsage } from "../../src/x509/certificate.ts";
import { clientPoolFromPem, verifyClientChain } from "../../src/x509/chain.ts";
import { DAY, type Made, make, NOW, type Wanted, x509 } from "./make.ts";

const client = [ExtendedKeyUsage.clientAuth];
const server = [ExtendedKeyUsage.serverAuth];
const digitalSignature = x509.KeyUsageFlags.digitalSignature;
const verified = { verdict: "verified" };

let root: Made, middle: Made, other: Made;
beforeAll(async () => {
  root = await make({ subject: "CN=root", ca: true, pathLength: 1 });
  middle = await make({ subject: "CN=middle", ca: true, pathLength: 0, issuer: root });
  other = await make({ subject: "CN=other root", ca: true });
});

const leafOf = (issuer: Made, wanted: Wanted = {}): Promise<Made> =>
  make({
    subject: "CN=client",
    usages: digitalSignature,
    extendedUsages: client,
    issuer,
    ...wanted,
  });

function verdict(chain: readonly Made[], anchors: readonly Made[] = [root], nowMs: number = NOW) {
  const pool = clientPoolFromPem(anchors.map(({ pem }) => pem).join(""));
  const result: ClientVerdict = verifyClientChain(
    chain.map(({ certificate }) => certificate.der),
    pool,
    nowMs,
  );
  return result;
}

/** The same question to OpenSSL: undefined if it is content, else its complaint. */
function openssl(chain: readonly Made[], anchors: readonly Made[] = [root]): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), "sotto-chain-"));
  try {
    const file = (name: string, made: readonly Made[]): string => {
      writeFileSync(join(folder, name), made.map(({ pem }) => pem).join(""));
      return join(folder, name);
    };
    const options = ["-purpose", "sslclient", "-attime", String(NOW / 1000), "-no-CApath"];
    const files = ["-CAfile", file("root.pem", anchors), "-untrusted", file("chain.pem", chain)];
    const all = ["verify", ...options, ...files, file("leaf.pem", chain.slice(0, 1))];
    execFileSync("openssl", all, { stdio: "pipe" });
    return undefined;
  } catch (error) {
    return String((error as { stderr: unknown }).stderr);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe("tls13 5: a client's chain is verified", () => {
  test("tls13 5: over intermediates in any order, with strangers among them and the root or not", async () => {
    const leaf = await leafOf(middle);
    for (const rest of [[middle], [other, middle], [root, middle], [middle, root, other]]) {
      expect(verdict([leaf, ...rest])).toEqual(verified);
      expect(openssl([leaf, ...rest])).toBeUndefined();
    }
  });

  test.each(["P-256", "P-384", "Ed25519", "RSA", "RSA-PSS"] as const)(
    "tls13 5: whose CA signs with %s",
    async (algorithm) => {
      const ca = await make({ subject: "CN=ca", ca: true, algorithm });
      const leaf = await leafOf(ca);
      expect(verdict([leaf], [ca])).toEqual(verified);
      expect(openssl([leaf], [ca])).toBeUndefined();
    },
  );

  test("tls13 5: whose CA has a key for RSASSA-PSS alone", () => {
    const folder = mkdtempSync(join(tmpdir(), "sotto-pss-"));
    try {
      const openssl = (command: string): string =>
        execFileSync("openssl", command.split(" "), {
          cwd: folder,
          encoding: "utf8",
          stdio: "pipe",
        });
      openssl("genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -out ca.key");
      openssl("req -x509 -new -key ca.key -subj /CN=ca -days 9 -out ca.pem");
      openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out leaf.key");
      openssl("req -new -key leaf.key -subj /CN=client -out leaf.csr");
      openssl(
        "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -set_serial 5 -days 9 -out leaf.pem",
      );
      const [leaf] = certificatesFromPem(openssl("x509 -in leaf.pem"));
      const pool = clientPoolFromPem(openssl("x509 -in ca.pem"));
      expect(verifyClientChain([leaf!.der], pool, Date.now())).toEqual(verified);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("tls13 5: without keyUsage and extKeyUsage, or with any extKeyUsage", async () => {
    const plain = await make({ subject: "CN=client", issuer: root });
    const any = await leafOf(root, { extendedUsages: [ExtendedKeyUsage.any] });
    expect([verdict([plain]), verdict([any])]).toEqual([verified, verified]);
  });

  test("tls13 5: with an intermediate as anchor, or the leaf itself", async () => {
    const leaf = await leafOf(middle);
    expect(verdict([leaf], [middle])).toEqual(verified);
    expect(verdict([leaf], [leaf])).toEqual(verified);
    const selfSigned = await make({ subject: "CN=alone", extendedUsages: client });
    expect(verdict([selfSigned], [root, selfSigned])).toEqual(verified);
  });

  test("tls13 5: over the one of two CAs of the same name whose key fits", async () => {
    const identifiers = false;
    const twin = await make({ subject: "CN=root", ca: true, identifiers });
    const leaf = await leafOf(root, { identifiers });
    expect(verdict([leaf], [twin, root])).toEqual(verified);
    expect(verdict([leaf], [root, twin])).toEqual(verified);
  });

  test("tls13 5: up to the last second of its life, and from the first", async () => {
    const leaf = await leafOf(root, { notBefore: NOW, notAfter: NOW + 1000 });
    const at = [NOW - 1, NOW, NOW + 1000, NOW + 1001].map((ms) => verdict([leaf], [root], ms));
    const expired = { refuse: "certificate expired" };
    expect(at).toEqual([expired, verified, verified, expired]);
  });
});

describe("tls13 5: a client's chain is refused", () => {
  type Case = [what: string, refuse: string, make: () => Promise<Made[]>, openssl: RegExp];
  test.each<Case>([
    ["from another root", "unknown CA", async () => [await leafOf(other), other], /self-signed/],
    ["without its intermediate", "unknown CA", async () => [await leafOf(middle)], /local issuer/],
    [
      "that is nobody's but its own",
      "unknown CA",
      async () => [await make({ subject: "CN=alone", extendedUsages: client })],
      /self-signed/,
    ],
    [
      "over a CA that is none",
      "unknown CA",
      async () => {
        const fake = await leafOf(middle, { subject: "CN=fake" });
        return [await leafOf(fake), fake, middle];
      },
      /invalid CA|issuer certificate/,
    ],
    [
      "over a CA that may not sign certificates",
      "unknown CA",
      async () => {
        const ca = await make({
          subject: "CN=x",
          ca: true,
          issuer: root,
          usages: digitalSignature,
        });
        return [await leafOf(ca), ca];
      },
      /invalid CA|keyusage|issuer certificate/i,
    ],
    [
      "longer than a pathLenConstraint allows",
      "unknown CA",
      async () => {
        const lower = await make({ subject: "CN=lower", ca: true, issuer: middle });
        return [await leafOf(lower), lower, middle];
      },
      /path length/,
    ],
    [
      "of one who borrows the name of a CA",
      "unknown CA",
      async () => {
        const forger = await make({ subject: "CN=root", ca: true });
        return [await leafOf(forger)];
      },
      /./,
    ],
    [
      "with a wrong signature",
      "bad certificate",
      async () => {
        const forger = await make({ subject: "CN=root", ca: true, identifiers: false });
        return [await leafOf(forger, { identifiers: false })];
      },
      /signature failure/,
    ],
    [
      "with an intermediate whose signature is wrong",
      "bad certificate",
      async () => {
        const forger = await make({ subject: "CN=root", ca: true, identifiers: false });
        const forged = await make({ subject: "CN=forged", ca: true, issuer: forger });
        return [await leafOf(forged), forged];
      },
      /signature failure/,
    ],
    [
      "that has expired",
      "certificate expired",
      async () => [await leafOf(root, { notBefore: NOW - 2 * DAY, notAfter: NOW - 1000 })],
      /has expired/,
    ],
    [
      "that is not yet valid",
      "certificate expired",
      async () => [await leafOf(root, { notBefore: NOW + 1000 })],
      /not yet valid/,
    ],
    [
      "over an expired intermediate",
      "certificate expired",
      async () => {
        const old = await make({
          subject: "CN=old",
          ca: true,
          issuer: root,
          notBefore: NOW - 2 * DAY,
          notAfter: NOW - 1000,
        });
        return [await leafOf(old), old];
      },
      /has expired/,
    ],
    [
      "for servers",
      "unsupported certificate",
      async () => [await leafOf(root, { extendedUsages: server })],
      /purpose/,
    ],
    [
      "over a CA for servers",
      "unsupported certificate",
      async () => {
        const ca = await make({
          subject: "CN=servers",
          ca: true,
          issuer: root,
          extendedUsages: server,
        });
        return [await leafOf(ca), ca];
      },
      /purpose/,
    ],
    [
      "whose key may not sign",
      "unsupported certificate",
      async () => [await leafOf(root, { usages: x509.KeyUsageFlags.keyEncipherment })],
      /purpose/,
    ],
    [
      "with a critical extension of an unknown kind",
      "unsupported certificate",
      async () => {
        const strange = new x509.Extension("1.2.3.4", true, Uint8Array.of(5, 0));
        return [await leafOf(root, { extensions: [strange] })];
      },
      /critical extension/,
    ],
  ])("tls13 5: %s: %s", async (_, refuse, makeChain, complaint) => {
    const chain = await makeChain();
    expect(verdict(chain)).toEqual({ refuse });
    expect(openssl(chain)).toMatch(complaint);
  });

  test("tls13 5: over name constraints, which are not processed, critical or not", async () => {
    // permittedSubtrees [0] { GeneralSubtree { dNSName "a" } }
    const constraints = Uint8Array.of(0x30, 7, 0xa0, 5, 0x30, 3, 0x82, 1, 0x61);
    for (const critical of [true, false]) {
      const extensions = [new x509.Extension("2.5.29.30", critical, constraints)];
      const ca = await make({ subject: "CN=c", ca: true, issuer: root, extensions });
      expect(verdict([await leafOf(ca), ca])).toEqual({ refuse: "unsupported certificate" });
    }
  });

  test("tls13 5: with a SHA-1 signature: bad certificate, but not where only the anchor has one", async () => {
    const ca = await make({ subject: "CN=sha1", ca: true, algorithm: "RSA-SHA1" });
    expect(ca.certificate.signatureAlgorithm.isWeak).toBe(true);
    const weak = await leafOf(ca);
    expect(weak.certificate.signatureAlgorithm.isWeak).toBe(true);
    expect(verdict([weak], [ca])).toEqual({ refuse: "bad certificate" });
    const usages = x509.KeyUsageFlags.keyCertSign | digitalSignature;
    const signer = await make({ ca: true, algorithm: "RSA-SHA1", usages });
    expect(verdict([signer], [signer])).toEqual(verified);
  });

  test("tls13 5: where nothing was sent, or something that is no certificate: bad certificate", async () => {
    const leaf = await leafOf(root);
    const pool = clientPoolFromPem(root.pem);
    const der = leaf.certificate.der;
    const refusal = { refuse: "bad certificate" };
    expect(verifyClientChain([], pool, NOW)).toEqual(refusal);
    expect(verifyClientChain([Uint8Array.of(1)], pool, NOW)).toEqual(refusal);
    expect(verifyClientChain([der, new Uint8Array(0)], pool, NOW)).toEqual(refusal);
    expect(verifyClientChain([der.slice(0, -1)], pool, NOW)).toEqual(refusal);
    const changed = der.slice();
    changed[der.length - 1]! ^= 1;
    expect(verifyClientChain([changed], pool, NOW)).toEqual(refusal);
  });

  test("tls13 5: in bounded time, however its certificates point at each other", async () => {
    const identifiers = false;
    const tangle = await Promise.all(
      Array.from({ length: 12 }, () => make({ subject: "CN=knot", ca: true, identifiers })),
    );
    const forger = await make({ subject: "CN=root", ca: true, identifiers });
    const ends = await Promise.all(
      tangle.map((knot) =>
        make({ subject: "CN=knot", ca: true, issuer: forger, keys: knot.keys, identifiers })
      ),
    );
    const leaf = await leafOf(tangle[0]!, { identifiers });
    const start = performance.now();
    expect(verdict([leaf, ...tangle])).toEqual({ refuse: "unknown CA" });
    expect(verdict([leaf, ...tangle, ...ends])).toMatchObject({ refuse: expect.any(String) });
    expect(performance.now() - start).toBeLessThan(10_000);
  });
});

describe("clientPoolFromPem", () => {
  test("policy 7.2: names the CAs, each once, for the CertificateRequest", async () => {
    const leaf = await leafOf(root);
    const twin = await make({ subject: "CN=root", ca: true });
    const pool = clientPoolFromPem(root.pem + twin.pem + other.pem + leaf.pem);
    expect(pool.anchors).toHaveLength(4);
    expect(pool.authorities).toEqual([root.certificate.subject, other.certificate.subject]);
  });

  test("refuses a text without certificates", () => {
    expect(() => clientPoolFromPem("")).toThrow('it holds no "BEGIN CERTIFICATE" block');
  });
});
