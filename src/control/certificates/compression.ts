/**
 * Certificate compression (RFC 8879) with what the runtime's zlib has.
 * @module
 */
import * as zlib from "node:zlib";

import type { ServerConfig } from "../../tls/config.ts";
import { CertificateCompressionAlgorithm } from "../../tls/wire/code-points.ts";

/**
 * Both directions, best first. Compressing is done once per chain, so it may take its time; decompressing stops at
 * `limit` bytes, whatever the stream claims.
 */
export function certificateCompression(): Pick<ServerConfig, "compress" | "decompress"> {
  const { zlib: deflate, brotli, zstd } = CertificateCompressionAlgorithm;
  const compress = new Map<number, (bytes: Uint8Array) => Uint8Array>();
  const decompress = new Map<number, (bytes: Uint8Array, limit: number) => Uint8Array>();

  compress.set(brotli, (bytes) => zlib.brotliCompressSync(bytes));
  decompress.set(
    brotli,
    (bytes, limit) => zlib.brotliDecompressSync(bytes, { maxOutputLength: limit }),
  );
  // Not every version of every runtime has it.
  if (typeof zlib.zstdCompressSync === "function") {
    compress.set(zstd, (bytes) => zlib.zstdCompressSync(bytes));
    decompress.set(
      zstd,
      (bytes, limit) => zlib.zstdDecompressSync(bytes, { maxOutputLength: limit }),
    );
  }
  compress.set(deflate, (bytes) => zlib.deflateSync(bytes, { level: 9 }));
  decompress.set(
    deflate,
    (bytes, limit) => zlib.inflateSync(bytes, { maxOutputLength: limit }),
  );
  return { compress, decompress };
}
