/**
 * Reading a ClientHello, and rebuilding the inner one of ECH: what every hello costs before any key is touched.
 * @module
 */
import { ascii, bytes, concat, u16, vector16, vector8 } from "../test/support/ech-sender.ts";
import { rebuildClientHelloInner } from "../src/tls/ech-inner.ts";
import { type ClientHello, parseClientHello } from "../src/tls/wire/client-hello.ts";
import { ExtensionType, HandshakeType, NamedGroup } from "../src/tls/wire/code-points.ts";
import type { Case } from "./micro.ts";

/** @throws {Error} what is measured does not work */
export function parseCases(): Case[] {
  const small = hello(extensionsOf(NamedGroup.x25519, 32));
  const browser = hello([
    [0x0a0a, bytes()],
    ...extensionsOf(NamedGroup.X25519MLKEM768, 1216),
    [0x0023, bytes()],
    [0x4469, bytes(0, 3, 2, 0x68, 0x32)],
    [0xff01, bytes(0)],
    [0x1a1a, bytes(0)],
  ]);
  const many = hello([
    ...extensionsOf(NamedGroup.x25519, 32),
    ...Array.from({ length: 3000 }, (_, i): Extension => [0x5000 + i, bytes(1)]),
  ]);
  const outer = checked(hello([
    ...extensionsOf(NamedGroup.X25519MLKEM768, 1216),
    [ExtensionType.encrypted_client_hello, new Uint8Array(300)],
  ]));
  const encoded = encodedInner();
  checked(rebuildClientHelloInner(encoded, outer));

  return [
    {
      id: "ClientHello: parse and check",
      unit: "µs",
      run: () => checked(small),
    },
    {
      id: "ClientHello with X25519MLKEM768: parse and check",
      unit: "µs",
      run: () => checked(browser),
    },
    {
      id: "ClientHello with 3,000 unknown extensions: parse and check",
      unit: "µs",
      run: () => checked(many),
    },
    {
      id: "ECH: rebuild the inner hello",
      unit: "µs",
      run: () => rebuildClientHelloInner(encoded, outer),
    },
    {
      id: "ECH: rebuild, parse and check the inner hello",
      unit: "µs",
      run: () => checked(rebuildClientHelloInner(encoded, outer)),
    },
  ];
}

function checked(message: Uint8Array): ClientHello {
  const parsed = parseClientHello(message);
  parsed.checkExtensions();
  return parsed;
}

type Extension = readonly [type: number, body: Uint8Array];

/** What Go offers, in about that order. */
function extensionsOf(group: number, shareLength: number): Extension[] {
  return [
    [ExtensionType.server_name, vector16(concat(bytes(0), vector16(ascii("bench.localhost"))))],
    ...commonExtensions(),
    [
      ExtensionType.key_share,
      vector16(concat(u16(group), vector16(new Uint8Array(shareLength).fill(9)))),
    ],
  ];
}

function commonExtensions(): Extension[] {
  const codes = (...values: number[]) => vector16(concat(...values.map(u16)));
  return [
    [5, bytes(1, 0, 0, 0, 0)],
    [ExtensionType.supported_groups, codes(0x11ec, 0x001d, 0x0017, 0x0018)],
    [
      ExtensionType.signature_algorithms,
      codes(0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0807),
    ],
    [
      ExtensionType.application_layer_protocol_negotiation,
      vector16(concat(vector8(ascii("h2")), vector8(ascii("http/1.1")))),
    ],
    [ExtensionType.supported_versions, vector8(u16(0x0304))],
    [ExtensionType.psk_key_exchange_modes, vector8(bytes(1))],
  ];
}

function hello(extensions: readonly Extension[]): Uint8Array {
  return message(concat(
    head(new Uint8Array(32).fill(7)),
    vector16(encodeAll(extensions)),
  ));
}

/** With an empty session id; key_share and the rest come from the outer hello. */
function encodedInner(): Uint8Array {
  return concat(
    head(bytes()),
    vector16(encodeAll([
      [ExtensionType.server_name, vector16(concat(bytes(0), vector16(ascii("inner.localhost"))))],
      [ExtensionType.encrypted_client_hello, bytes(1)],
      [
        ExtensionType.ech_outer_extensions,
        vector8(
          concat(
            ...[...commonExtensions().map(([type]) => type), ExtensionType.key_share].map(u16),
          ),
        ),
      ],
    ])),
    new Uint8Array(40),
  );
}

function head(sessionId: Uint8Array): Uint8Array {
  return concat(
    u16(0x0303),
    new Uint8Array(32).fill(3),
    vector8(sessionId),
    vector16(concat(u16(0x1301), u16(0x1302), u16(0x1303))),
    vector8(bytes(0)),
  );
}

function encodeAll(extensions: readonly Extension[]): Uint8Array {
  return concat(...extensions.flatMap(([type, body]) => [u16(type), vector16(body)]));
}

function message(body: Uint8Array): Uint8Array {
  return concat(
    bytes(HandshakeType.client_hello, body.length >> 16),
    u16(body.length & 0xffff),
    body,
  );
}
