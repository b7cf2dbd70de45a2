/**
 * Certificate compression for a client (RFC 8879), by what node:zlib has on this runtime.
 * @module
 */
import * as zlib from "node:zlib";
import { TlsError } from "../tls/error.ts";
import { CertificateCompressionAlgorithm } from "../tls/wire/code-points.ts";

type Inflate = (data: Uint8Array, options: { maxOutputLength: number }) => Uint8Array;
type Deflate = (data: Uint8Array) => Uint8Array;

const { zlib: ZLIB, brotli: BROTLI, zstd: ZSTD } = CertificateCompressionAlgorithm;

const inflates: ReadonlyMap<number, Inflate | undefined> = new Map([
  [ZLIB, zlib.inflateSync as Inflate],
  [BROTLI, zlib.brotliDecompressSync as Inflate],
  [ZSTD, zlib.zstdDecompressSync as Inflate | undefined],
]);

const deflates: ReadonlyMap<number, Deflate | undefined> = new Map([
  [ZLIB, zlib.deflateSync as Deflate],
  [BROTLI, zlib.brotliCompressSync as Deflate],
  [ZSTD, zlib.zstdCompressSync as Deflate | undefined],
]);

/** @throws {TlsError} "bad compressed certificate": it is broken or not `length` bytes */
export function decompress(algorithm: number, data: Uint8Array, length: number): Uint8Array {
  const inflate = inflates.get(algorithm);
  if (inflate === undefined) throw new TlsError("unoffered certificate compression");
  let bytes: Uint8Array;
  try {
    bytes = inflate(data, { maxOutputLength: length + 1 });
  } catch (cause) {
    throw new TlsError("bad compressed certificate", String(cause));
  }
  if (bytes.length !== length) throw new TlsError("bad compressed certificate", "length");
  return bytes;
}

/** @throws {RangeError} this runtime does not have the algorithm */
export function compress(algorithm: number, data: Uint8Array): Uint8Array {
  const deflate = deflates.get(algorithm);
  if (deflate === undefined) throw new RangeError(`Cannot compress by algorithm ${algorithm}`);
  return deflate(data);
}
