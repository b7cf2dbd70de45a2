import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { commonName } from "../../src/edge/client-name.ts";
import {
  crc32c,
  encodeProxyV1,
  encodeProxyV2,
  type ProxyHeader,
} from "../../src/edge/proxy-protocol.ts";
import { canonicalIp, ipFromBytes } from "../../src/x509/names.ts";
import { testCertificate } from "../support/certificates.ts";

const V4 = {
  sourceAddress: "192.0.2.1",
  sourcePort: 56324,
  destinationAddress: "198.51.100.7",
  destinationPort: 443,
};
const V6 = {
  sourceAddress: "2001:db8::1",
  sourcePort: 1,
  destinationAddress: "::1",
  destinationPort: 65535,
};

describe("PROXY protocol version 1", () => {
  it.each([
    [V4, "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"],
    [V6, "PROXY TCP6 2001:db8:0:0:0:0:0:1 0:0:0:0:0:0:0:1 1 65535\r\n"],
    [
      { ...V6, destinationAddress: "10.0.0.1" },
      "PROXY TCP6 2001:db8:0:0:0:0:0:1 0:0:0:0:0:ffff:a00:1 1 65535\r\n",
    ],
    [
      { ...V6, sourceAddress: "fe80::1%eth0" },
      "PROXY TCP6 fe80:0:0:0:0:0:0:1 0:0:0:0:0:0:0:1 1 65535\r\n",
    ],
    [{ ...V4, sourceAddress: "" }, "PROXY UNKNOWN\r\n"],
    [{ ...V4, sourceAddress: "1.2.3.4\r\nX" }, "PROXY UNKNOWN\r\n"],
    [{ sourcePath: "/a", destinationPath: "/b" }, "PROXY UNKNOWN\r\n"],
    [undefined, "PROXY UNKNOWN\r\n"],
  ])("writes one line: %j", (endpoints, line) => {
    expect(text(encodeProxyV1({ endpoints }))).toBe(line);
  });

  it("never takes more than 107 bytes", () => {
    const longest = {
      ...V6,
      sourceAddress: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
      destinationAddress: "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
      sourcePort: 65535,
    };
    expect(encodeProxyV1({ endpoints: longest }).length).toBeLessThanOrEqual(107);
  });
});

describe("PROXY protocol version 2", () => {
  it("writes TCP over IPv4 as the specification lays it out", () => {
    expect(hex(encodeProxyV2({ endpoints: V4 }))).toBe(
      "0d0a0d0a000d0a515549540a" + "21" + "11" + "000c" + "c0000201" + "c6336407" + "dc04" + "01bb",
    );
  });

  it("writes TCP over IPv6", () => {
    expect(hex(encodeProxyV2({ endpoints: V6 }))).toBe(
      "0d0a0d0a000d0a515549540a" + "21" + "21" + "0024" +
        "20010db8000000000000000000000001" + "00000000000000000000000000000001" + "0001" + "ffff",
    );
  });

  it("writes unix sockets, each path in 108 bytes", () => {
    const endpoints = { sourcePath: "/run/a", destinationPath: "/run/bb" };
    const bytes = encodeProxyV2({ endpoints });
    expect(bytes.length).toBe(16 + 216);
    expect(hex(bytes.subarray(12, 16))).toBe("213100d8");
    expect(text(bytes.subarray(16, 124)).replace(/\0*$/, "")).toBe("/run/a");
    expect(text(bytes.subarray(124)).replace(/\0*$/, "")).toBe("/run/bb");
    const long = { sourcePath: "x".repeat(109), destinationPath: "" };
    expect(() => encodeProxyV2({ endpoints: long })).toThrow(RangeError);
  });

  it("writes LOCAL for a connection of our own", () => {
    expect(hex(encodeProxyV2({ endpoints: undefined, authority: "ignored" })))
      .toBe("0d0a0d0a000d0a515549540a" + "20" + "00" + "0000");
  });

  it("writes an address that is none as unspecified", () => {
    expect(hex(encodeProxyV2({ endpoints: { ...V4, sourceAddress: "?" } }).subarray(12)))
      .toBe("21000000");
  });

  it("computes CRC32C: check value and RFC 3720 B.4", () => {
    expect(crc32c(new TextEncoder().encode("123456789"))).toBe(0xe3069283);
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
  });

  it("says what it was given, and no more", () => {
    fc.assert(fc.property(headers, (header) => {
      const bytes = encodeProxyV2(header);
      const read = decode(bytes);
      const { endpoints } = header;
      if (endpoints === undefined || !("sourceAddress" in endpoints)) {
        throw new Error("no addresses");
      }
      const isV4 = [endpoints.sourceAddress, endpoints.destinationAddress]
        .every((address) => !address.includes(":"));
      expect(read.family).toBe(isV4 ? 0x11 : 0x21);
      expect(read.source).toBe(canonicalIp(endpoints.sourceAddress));
      expect(read.destination).toBe(canonicalIp(endpoints.destinationAddress));
      expect(read.ports).toEqual([endpoints.sourcePort, endpoints.destinationPort]);
      expect(utf8(read.tlvs.get(0x01))).toBe(header.alpn);
      expect(utf8(read.tlvs.get(0x02))).toBe(header.authority);
      const ssl = read.tlvs.get(0x20);
      expect(ssl === undefined).toBe(header.tls === undefined);
      if (ssl !== undefined && header.tls !== undefined) {
        const { client } = header.tls;
        expect(ssl[0]).toBe(client === undefined ? 1 : 7);
        expect(ssl.slice(1, 5).every((byte) => byte === 0)).toBe(client?.verified === true);
        const inner = tlvs(ssl.subarray(5));
        expect(utf8(inner.get(0x21))).toBe(header.tls.version);
        expect(utf8(inner.get(0x22))).toBe(client?.commonName);
        expect(utf8(inner.get(0x23))).toBe(header.tls.cipher);
      }
      const crc = read.tlvs.get(0x03);
      expect(crc !== undefined).toBe(header.checksum === true);
      if (crc !== undefined) {
        const blank = bytes.slice();
        blank.fill(0, blank.length - 4);
        expect(new DataView(crc.buffer, crc.byteOffset).getUint32(0)).toBe(crc32c(blank));
      }
    }));
  });

  it("refuses what its lengths cannot say", () => {
    expect(() => encodeProxyV2({ endpoints: V4, authority: "x".repeat(65536) })).toThrow(
      RangeError,
    );
    const halves = { alpn: "x".repeat(40_000), authority: "x".repeat(40_000) };
    expect(() => encodeProxyV2({ endpoints: V4, ...halves })).toThrow(RangeError);
  });
});

describe("a client certificate's name", () => {
  it.each([
    ["CN=alice", "alice"],
    ["O=Test, CN=Zoë Œuvre", "Zoë Œuvre"],
    ["O=Test", undefined],
    ["CN=first, OU=x, CN=last", "last"],
  ])("is the last commonName: %s", async (subject, name) => {
    const { chain } = await testCertificate({ subject, usage: "client" });
    expect(commonName(chain[0]!)).toBe(name);
  });

  const inUtf8 = (bytes: Buffer) =>
    `CN=#${Buffer.from([0x0c, bytes.length, ...bytes]).toString("hex")}`;

  it.each([
    ["nothing", ""],
    ["a NUL", "admin\0.example"],
    ["a line's end", "one\r\ntwo"],
    ["a control character", "one\x7f"],
    ["more than 64 characters", "é".repeat(65)],
  ])("is none where it holds %s", async (_what, name) => {
    const subject = inUtf8(Buffer.from(name).subarray(0, 127));
    const { chain } = await testCertificate({ subject, usage: "client" });
    expect(commonName(chain[0]!)).toBeUndefined();
  });

  it("is none where it is not UTF-8, and keeps what decoders like to drop", async () => {
    const of = async (name: string, change?: (der: Uint8Array) => void) => {
      const subject = inUtf8(Buffer.from(name));
      const der = (await testCertificate({ subject, usage: "client" })).chain[0]!.slice();
      change?.(der);
      return commonName(der);
    };
    expect(await of("alice~~", (der) => void (der[Buffer.from(der).indexOf("~~")] = 0xff)))
      .toBeUndefined();
    expect(await of("\ufeffadmin")).toBe("\ufeffadmin");
    expect(await of("é".repeat(63))).toBe("é".repeat(63));
  });

  it("is none where it has more than 64 characters, whatever the certificate's size", async () => {
    for (const [length, found] of [[64, "x".repeat(64)], [65, undefined], [80_000, undefined]]) {
      const subject = `CN=${"x".repeat(Number(length))}`;
      const { chain } = await testCertificate({ subject, usage: "client" });
      expect(commonName(chain[0]!)).toBe(found);
    }
  });

  it("is none in bytes that are no certificate", () => {
    expect(commonName(new Uint8Array([1, 2, 3]))).toBeUndefined();
    expect(commonName(new Uint8Array(0))).toBeUndefined();
  });

  it("is none or a text in a certificate that is cut or spoilt anywhere", async () => {
    const { chain } = await testCertificate({ subject: "CN=alice", usage: "client" });
    for (let at = 0; at < chain[0]!.length; at++) {
      expect(commonName(chain[0]!.slice(0, at))).toBeUndefined();
      const spoilt = chain[0]!.slice();
      spoilt[at]! ^= 0xff;
      expect(["string", "undefined"]).toContain(typeof commonName(spoilt));
    }
  });
});

const port = fc.integer({ min: 0, max: 65535 });
const address = fc.oneof(fc.ipV4(), fc.ipV6());
const headers: fc.Arbitrary<ProxyHeader> = fc.record({
  endpoints: fc.record({
    sourceAddress: address,
    sourcePort: port,
    destinationAddress: address,
    destinationPort: port,
  }),
  alpn: fc.option(fc.string(), { nil: undefined }),
  authority: fc.option(fc.domain(), { nil: undefined }),
  tls: fc.option(
    fc.record({
      version: fc.constant("TLSv1.3"),
      cipher: fc.option(fc.constant("TLS_AES_128_GCM_SHA256"), { nil: undefined }),
      client: fc.option(
        fc.record({
          commonName: fc.option(fc.string({ unit: "grapheme" }), { nil: undefined }),
          verified: fc.boolean(),
        }),
        { nil: undefined },
      ),
    }),
    { nil: undefined },
  ),
  checksum: fc.boolean(),
});

/** Written from the specification, apart from the encoder. */
function decode(bytes: Uint8Array) {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  expect(text(bytes.subarray(0, 12))).toBe("\r\n\r\n\0\r\nQUIT\n");
  expect(bytes[12]).toBe(0x21);
  expect(view.getUint16(14)).toBe(bytes.length - 16);
  const family = bytes[13]!;
  const size = family === 0x11 ? 4 : 16;
  const ports = 16 + 2 * size;
  return {
    family,
    source: ipFromBytes(bytes.subarray(16, 16 + size)),
    destination: ipFromBytes(bytes.subarray(16 + size, ports)),
    ports: [view.getUint16(ports), view.getUint16(ports + 2)],
    tlvs: tlvs(bytes.subarray(ports + 4)),
  };
}

function tlvs(bytes: Uint8Array): Map<number, Uint8Array> {
  const found = new Map<number, Uint8Array>();
  let at = 0;
  while (at < bytes.length) {
    const length = (bytes[at + 1]! << 8) | bytes[at + 2]!;
    found.set(bytes[at]!, bytes.subarray(at + 3, at + 3 + length));
    at += 3 + length;
  }
  expect(at).toBe(bytes.length);
  return found;
}

function utf8(bytes: Uint8Array | undefined): string | undefined {
  return bytes && new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
