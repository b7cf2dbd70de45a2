/**
 * ClientHellos written by hand, byte by byte, for tests of the parser: it shares no code with what it tests.
 * @module
 */
import { parseClientHello } from "../../../src/tls/wire/client-hello.ts";
import type { ClientHello } from "../../../src/tls/wire/client-hello.ts";
import { TlsError } from "../../../src/tls/error.ts";

export type Bytes = readonly number[];
export type Ext = readonly [type: number, body: Bytes];

export interface HelloParts {
  readonly legacyVersion?: number;
  readonly random?: Bytes;
  readonly sessionId?: Bytes;
  /** Code points. */
  readonly suites?: Bytes;
  readonly compression?: Bytes;
  /** null: without the block. */
  readonly extensions?: readonly Ext[] | null;
}

export const u16 = (n: number): Bytes => [n >>> 8, n & 0xff];
export const u32 = (n: number): Bytes => [...u16(n >>> 16), ...u16(n & 0xffff)];
export const vector8 = (body: Bytes): Bytes => [body.length, ...body];
export const vector16 = (body: Bytes): Bytes => [...u16(body.length), ...body];
export const vector24 = (
  body: Bytes,
): Bytes => [body.length >>> 16, ...u16(body.length & 0xffff), ...body];
export const codes = (list: readonly number[]): Bytes => list.flatMap(u16);
export const ascii = (text: string): Bytes => Array.from(text, (c) => c.charCodeAt(0));
export const filled = (length: number, value = 0xab): Bytes => Array<number>(length).fill(value);

export const sni = (name: string | Bytes): Ext => [
  0,
  vector16([0, ...vector16(typeof name === "string" ? ascii(name) : name)]),
];
export const groups = (...list: number[]): Ext => [10, vector16(codes(list))];
export const schemes = (...list: number[]): Ext => [13, vector16(codes(list))];
export const alpn = (...names: string[]): Ext => [
  16,
  vector16(names.flatMap((name) => vector8(ascii(name)))),
];
export const compression = (...list: number[]): Ext => [27, vector8(codes(list))];
export const recordSizeLimit = (limit: number): Ext => [28, u16(limit)];
export const versions = (...list: number[]): Ext => [43, vector8(codes(list))];
export const modes = (...list: number[]): Ext => [45, vector8(list)];
export const shares = (...list: (readonly [group: number, share: Bytes])[]): Ext => [
  51,
  vector16(list.flatMap(([group, share]) => [...u16(group), ...vector16(share)])),
];
export const psks = (
  identities: readonly (readonly [identity: Bytes, age: number])[],
  binders: readonly Bytes[],
): Ext => [
  41,
  [
    ...vector16(identities.flatMap(([identity, age]) => [...vector16(identity), ...u32(age)])),
    ...vector16(binders.flatMap(vector8)),
  ],
];

/** What a server takes as it is. */
export const PLAIN: readonly Ext[] = [
  sni("a.example"),
  groups(0x1d, 0x17),
  schemes(0x0403, 0x0804),
  versions(0x0304),
  shares([0x1d, filled(32, 9)]),
];

/** The same with a PSK. */
export const WITH_PSK: readonly Ext[] = [
  ...PLAIN,
  modes(1),
  psks([[filled(20, 1), 0xfffefdfc]], [filled(32, 2)]),
];

/** `list` with `changes` in the places of their types, or before pre_shared_key. */
export function change(list: readonly Ext[], ...changes: readonly Ext[]): Ext[] {
  const result = list.map((ext) => changes.find(([type]) => type === ext[0]) ?? ext);
  for (const ext of changes) {
    if (result.includes(ext)) continue;
    const end = result.at(-1)?.[0] === 41 ? result.length - 1 : result.length;
    result.splice(end, 0, ext);
  }
  return result;
}

export function without(list: readonly Ext[], ...types: readonly number[]): Ext[] {
  return list.filter(([type]) => !types.includes(type));
}

export function helloBytes(parts: HelloParts = {}): Uint8Array {
  const extensions = parts.extensions === undefined ? PLAIN : parts.extensions;
  return message(1, [
    ...u16(parts.legacyVersion ?? 0x0303),
    ...(parts.random ?? filled(32, 0x77)),
    ...vector8(parts.sessionId ?? filled(32, 0x55)),
    ...vector16(codes(parts.suites ?? [0x1301, 0x1302, 0x1303])),
    ...vector8(parts.compression ?? [0]),
    ...(extensions === null ? [] : vector16(extensionBytes(extensions))),
  ]);
}

export function extensionBytes(list: readonly Ext[]): Bytes {
  return list.flatMap(([type, body]) => [...u16(type), ...vector16(body)]);
}

export function message(type: number, body: Bytes): Uint8Array {
  return new Uint8Array([type, ...vector24(body)]);
}

/** A message whose length field says what is there, whatever was cut off or added. */
export function reframe(bytes: Uint8Array): Uint8Array {
  const framed = bytes.slice();
  framed[1] = (bytes.length - 4) >>> 16;
  framed[2] = (bytes.length - 4) >>> 8;
  framed[3] = bytes.length - 4;
  return framed;
}

/** Parsed and checked: steps 2 and 5 to 9 of tls13-server §2.1. */
export function read(bytes: Uint8Array): ClientHello {
  const hello = parseClientHello(bytes);
  hello.checkExtensions();
  return hello;
}

export function readExtensions(...list: readonly Ext[]): ClientHello {
  return read(helloBytes({ extensions: list }));
}

/** "reason -> alert" of the TlsError that `work` ends in; anything else it throws flies on. */
export function refusal(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof TlsError) return `${error.reason} -> ${error.alert}`;
    throw error;
  }
  return "no refusal";
}
