/**
 * The body of encrypted_client_hello in a ClientHello (RFC 9849 §5).
 *
 *     struct { ECHClientHelloType type;
 *              select (type) {
 *                case outer: HpkeSymmetricCipherSuite cipher_suite; uint8 config_id;
 *                            opaque enc<0..2^16-1>; opaque payload<1..2^16-1>;
 *                case inner: Empty;
 *              }; } ECHClientHello;
 *
 * @module
 */
import { TlsError } from "../error.ts";
import type { ClientHello } from "./client-hello.ts";
import { ECHClientHelloType } from "./code-points.ts";
import { Reader } from "./reader.ts";

export interface EchOuter {
  readonly type: "outer";
  readonly kdfId: number;
  readonly aeadId: number;
  readonly configId: number;
  /** A view into the hello. */
  readonly enc: Uint8Array;
  /** Offsets into `hello.bytes`: what ClientHelloOuterAAD has zeros for. */
  readonly payloadAt: number;
  readonly payloadEnd: number;
}

export type EchClientHello = EchOuter | { readonly type: "inner" };

/**
 * `hello` has the extension.
 *
 * @throws {TlsError} "bad ECHClientHelloType", decode errors
 * @throws {RangeError} it has not
 */
export function decodeEchClientHello(hello: ClientHello): EchClientHello {
  if (hello.echAt < 0) throw new RangeError("Cannot decode ECH in a ClientHello without it");
  const r = new Reader(hello.bytes, hello.echAt, hello.echEnd);
  const type = r.u8();
  if (type === ECHClientHelloType.inner) {
    r.finish("ECHClientHello");
    return INNER;
  }
  if (type !== ECHClientHelloType.outer) throw new TlsError("bad ECHClientHelloType");
  const kdfId = r.u16();
  const aeadId = r.u16();
  const configId = r.u8();
  const enc = r.vector16().rest();
  const payloadAt = r.at + 2;
  r.vector16(1);
  const payloadEnd = r.at;
  r.finish("ECHClientHello");
  return { type: "outer", kdfId, aeadId, configId, enc, payloadAt, payloadEnd };
}

const INNER: EchClientHello = { type: "inner" };
