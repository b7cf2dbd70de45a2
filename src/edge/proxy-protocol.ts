/**
 * The header that tells an upstream who is connected: the PROXY protocol, versions 1 and 2, sending side.
 *
 * Version 2 carries facts of the TLS connection too. Its name is the inner one where ECH was accepted, so the header
 * is for the operator's own servers and nobody else's (policy §8.6).
 *
 * @module
 */

export interface ProxyHeader {
  /** Undefined: a connection of our own, as for a health check; nothing else is looked at. */
  readonly endpoints: ProxyEndpoints | undefined;
  readonly alpn?: string | undefined;
  /** The name that the client asked for. */
  readonly authority?: string | undefined;
  readonly tls?: ProxyTls | undefined;
  /** Ends the header with a CRC32C of itself. */
  readonly checksum?: boolean;
}

export type ProxyEndpoints =
  | {
    readonly sourceAddress: string;
    readonly sourcePort: number;
    readonly destinationAddress: string;
    readonly destinationPort: number;
  }
  /** Paths of unix sockets, at most 108 bytes. */
  | { readonly sourcePath: string; readonly destinationPath: string };

export interface ProxyTls {
  /** As OpenSSL calls it: "TLSv1.3" */
  readonly version: string;
  /** "TLS_AES_128_GCM_SHA256" */
  readonly cipher: string | undefined;
  /** Undefined: no client certificate. */
  readonly client:
    | { readonly commonName: string | undefined; readonly verified: boolean }
    | undefined;
}

/** `PROXY TCP4 192.0.2.1 192.0.2.2 56324 443`, ended by CRLF: at most 107 bytes. Of TLS it says nothing. */
export function encodeProxyV1({ endpoints }: ProxyHeader): Uint8Array {
  const pair = endpoints && "sourceAddress" in endpoints ? addressPair(endpoints) : undefined;
  if (pair === undefined || endpoints === undefined || !("sourceAddress" in endpoints)) {
    return utf8.encode("PROXY UNKNOWN\r\n");
  }
  const family = pair.source.length === 4 ? "TCP4" : "TCP6";
  const places = `${textOf(pair.source)} ${textOf(pair.destination)}`;
  const ports = `${endpoints.sourcePort} ${endpoints.destinationPort}`;
  return utf8.encode(`PROXY ${family} ${places} ${ports}\r\n`);
}

/**
 * 12 bytes of signature, version and command, family and transport, length (u16), addresses, TLVs.
 *
 * @throws {RangeError} a value is too long for its field
 */
export function encodeProxyV2(header: ProxyHeader): Uint8Array {
  const out: number[] = [...SIGNATURE, VERSION_2 | COMMAND_PROXY, FAMILY_UNSPEC, 0, 0];
  const { endpoints } = header;
  if (endpoints === undefined) {
    out[COMMAND_AT] = VERSION_2 | COMMAND_LOCAL;
  } else {
    out[FAMILY_AT] = pushEndpoints(out, endpoints);
    if (header.alpn !== undefined) pushTlv(out, Tlv.ALPN, utf8.encode(header.alpn));
    if (header.authority !== undefined) pushTlv(out, Tlv.AUTHORITY, utf8.encode(header.authority));
    if (header.tls !== undefined) pushTlv(out, Tlv.SSL, sslValue(header.tls));
  }
  if (header.checksum === true) pushTlv(out, Tlv.CRC32C, [0, 0, 0, 0]);
  const length = out.length - HEADER_LENGTH;
  if (length > 0xffff) {
    throw new RangeError("Cannot encode a PROXY header of more than 65535 bytes");
  }
  out[LENGTH_AT] = length >>> 8;
  out[LENGTH_AT + 1] = length & 0xff;
  const bytes = new Uint8Array(out);
  // Computed over the whole header with the field itself zero; the field comes last here.
  if (header.checksum === true) {
    new DataView(bytes.buffer).setUint32(bytes.length - 4, crc32c(bytes));
  }
  return bytes;
}

const SIGNATURE = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
const COMMAND_AT = 12;
const FAMILY_AT = 13;
const LENGTH_AT = 14;
const HEADER_LENGTH = 16;
const VERSION_2 = 0x20;
const COMMAND_LOCAL = 0;
const COMMAND_PROXY = 1;
const FAMILY_UNSPEC = 0x00;
const TCP_OVER_IPV4 = 0x11;
const TCP_OVER_IPV6 = 0x21;
const UNIX_STREAM = 0x31;
const UNIX_PATH_LENGTH = 108;

const Tlv = {
  ALPN: 0x01,
  AUTHORITY: 0x02,
  CRC32C: 0x03,
  SSL: 0x20,
  SSL_VERSION: 0x21,
  SSL_CN: 0x22,
  SSL_CIPHER: 0x23,
} as const;

const CLIENT_SSL = 0x01;
const CLIENT_CERT_CONN = 0x02;
const CLIENT_CERT_SESS = 0x04;

/** struct { u8 client; u32 verify; TLVs } where verify is 0 for a certificate that was verified and nothing else. */
function sslValue({ version, cipher, client }: ProxyTls): number[] {
  const flags = client === undefined
    ? CLIENT_SSL
    : CLIENT_SSL | CLIENT_CERT_CONN | CLIENT_CERT_SESS;
  const value = [flags, 0, 0, 0, client?.verified === true ? 0 : 1];
  pushTlv(value, Tlv.SSL_VERSION, utf8.encode(version));
  if (client?.commonName !== undefined) {
    pushTlv(value, Tlv.SSL_CN, utf8.encode(client.commonName));
  }
  if (cipher !== undefined) pushTlv(value, Tlv.SSL_CIPHER, utf8.encode(cipher));
  return value;
}

function pushTlv(out: number[], type: number, value: ArrayLike<number>): void {
  if (value.length > 0xffff) throw new RangeError("Cannot encode a TLV of more than 65535 bytes");
  out.push(type, value.length >>> 8, value.length & 0xff);
  for (let i = 0; i < value.length; i++) out.push(value[i]!);
}

/** Appends them and returns their family. */
function pushEndpoints(out: number[], endpoints: ProxyEndpoints): number {
  if ("sourcePath" in endpoints) {
    pushPath(out, endpoints.sourcePath);
    pushPath(out, endpoints.destinationPath);
    return UNIX_STREAM;
  }
  const pair = addressPair(endpoints);
  if (pair === undefined) return FAMILY_UNSPEC;
  out.push(...pair.source, ...pair.destination);
  for (const port of [endpoints.sourcePort, endpoints.destinationPort]) {
    out.push(port >>> 8, port & 0xff);
  }
  return pair.source.length === 4 ? TCP_OVER_IPV4 : TCP_OVER_IPV6;
}

function pushPath(out: number[], path: string): void {
  const bytes = utf8.encode(path);
  if (bytes.length > UNIX_PATH_LENGTH) {
    throw new RangeError(`Cannot encode a path of more than ${UNIX_PATH_LENGTH} bytes`);
  }
  out.push(...bytes);
  for (let i = bytes.length; i < UNIX_PATH_LENGTH; i++) out.push(0);
}

/** Both of one family: where they differ, the IPv4 address is mapped. */
function addressPair(
  endpoints: { readonly sourceAddress: string; readonly destinationAddress: string },
): { source: number[]; destination: number[] } | undefined {
  const source = ipBytes(endpoints.sourceAddress);
  const destination = ipBytes(endpoints.destinationAddress);
  if (source === undefined || destination === undefined) return undefined;
  if (source.length === destination.length) return { source, destination };
  return { source: mapped(source), destination: mapped(destination) };
}

function mapped(ip: number[]): number[] {
  return ip.length === 16 ? ip : [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...ip];
}

/** 4 or 16 bytes of an IP address; a zone (`%eth0`) means nothing to others and is dropped. */
function ipBytes(text: string): number[] | undefined {
  const bare = text.split("%", 1)[0]!;
  if (!bare.includes(":")) return ipv4Bytes(bare);
  const halves = bare.split("::");
  if (halves.length > 2) return undefined;
  const head = groupBytes(halves[0]!);
  const tail = groupBytes(halves[1] ?? "");
  if (head === undefined || tail === undefined) return undefined;
  const gap = 16 - head.length - tail.length;
  if (halves.length === 1 ? gap !== 0 : gap < 2) return undefined;
  return [...head, ...Array<number>(gap).fill(0), ...tail];
}

function groupBytes(text: string): number[] | undefined {
  if (text === "") return [];
  const bytes: number[] = [];
  const groups = text.split(":");
  for (const [i, group] of groups.entries()) {
    if (group.includes(".")) {
      const v4 = i === groups.length - 1 ? ipv4Bytes(group) : undefined;
      if (v4 === undefined) return undefined;
      bytes.push(...v4);
    } else {
      if (!/^[0-9a-f]{1,4}$/i.test(group)) return undefined;
      const value = parseInt(group, 16);
      bytes.push(value >>> 8, value & 0xff);
    }
  }
  return bytes;
}

function ipv4Bytes(text: string): number[] | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part))) return undefined;
  const bytes = parts.map(Number);
  return bytes.every((byte) => byte <= 255) ? bytes : undefined;
}

/** Eight full groups where it is IPv6: plain, and read by everybody. */
function textOf(ip: readonly number[]): string {
  if (ip.length === 4) return ip.join(".");
  const groups: string[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((ip[i]! << 8) | ip[i + 1]!).toString(16));
  return groups.join(":");
}

/** CRC-32C (Castagnoli, RFC 3720 §12.1), reflected. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ byte) & 0xff]!;
  return (crc ^ 0xffffffff) >>> 0;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ 0x82f63b78;
  return crc;
});

const utf8 = new TextEncoder();
