/**
 * EncryptedExtensions (RFC 9846 §4.4.1): `Extension extensions<0..2^16-1>`.
 * @module
 */
import { TlsError } from "../error.ts";
import { ExtensionType, HandshakeType } from "./code-points.ts";
import {
  beginMessage,
  decodeCodes,
  decodeExtensions,
  encodeCodes16,
  endMessage,
  openMessage,
} from "./message.ts";
import type { Reader } from "./reader.ts";
import type { Writer } from "./writer.ts";

/** Undefined or false: the extension is left out. */
export interface EncryptedExtensionsParts {
  /** The client's name was used to choose, and this is no resumption (RFC 6066 §3). */
  readonly serverName: boolean;
  /** One character per byte. */
  readonly alpn: string | undefined;
  readonly recordSizeLimit: number | undefined;
  /** A hint for next time: all of ours, best first. */
  readonly supportedGroups: readonly number[] | undefined;
  /** RFC 9149: how many tickets will come; only in answer to ticket_request. */
  readonly expectedTickets: number | undefined;
  /** ECHConfigList with its 2-byte length: an offered ECH was rejected. */
  readonly retryConfigs: Uint8Array | undefined;
}

export function encodeEncryptedExtensions(w: Writer, parts: EncryptedExtensionsParts): void {
  const message = beginMessage(w, HandshakeType.encrypted_extensions);
  const extensions = w.begin(2);
  if (parts.serverName) w.u16(ExtensionType.server_name).u16(0);
  if (parts.supportedGroups !== undefined) {
    encodeCodes16(w, ExtensionType.supported_groups, parts.supportedGroups);
  }
  if (parts.alpn !== undefined) encodeAlpn(w, parts.alpn);
  if (parts.recordSizeLimit !== undefined) {
    w.u16(ExtensionType.record_size_limit).u16(2).u16(parts.recordSizeLimit);
  }
  if (parts.expectedTickets !== undefined) {
    w.u16(ExtensionType.ticket_request).u16(1).u8(parts.expectedTickets);
  }
  if (parts.retryConfigs !== undefined) {
    w.u16(ExtensionType.encrypted_client_hello).opaque16(parts.retryConfigs);
  }
  w.end(extensions, 2);
  endMessage(w, message);
}

export interface EncryptedExtensions extends EncryptedExtensionsParts {
  /** 0-RTT was accepted. */
  readonly earlyData: boolean;
  /** In wire order, known or not: whether they were asked for, and belong here, is for the client to judge. */
  readonly types: readonly number[];
}

/** @throws {TlsError} decode errors; "duplicate extension"; "bad record_size_limit" */
export function decodeEncryptedExtensions(message: Uint8Array): EncryptedExtensions {
  const extensions = decodeExtensions(openMessage(message, HandshakeType.encrypted_extensions));
  const parts: { -readonly [K in keyof EncryptedExtensions]: EncryptedExtensions[K] } = {
    serverName: false,
    alpn: undefined,
    recordSizeLimit: undefined,
    supportedGroups: undefined,
    expectedTickets: undefined,
    retryConfigs: undefined,
    earlyData: false,
    types: [...extensions.keys()],
  };
  for (const [type, body] of extensions) {
    switch (type) {
      case ExtensionType.server_name:
        parts.serverName = true;
        break;
      case ExtensionType.early_data:
        parts.earlyData = true;
        break;
      case ExtensionType.supported_groups:
        parts.supportedGroups = decodeCodes(body.vector16());
        break;
      case ExtensionType.application_layer_protocol_negotiation:
        parts.alpn = decodeAlpn(body);
        break;
      case ExtensionType.record_size_limit:
        parts.recordSizeLimit = body.u16();
        if (parts.recordSizeLimit < 64) throw new TlsError("bad record_size_limit");
        break;
      case ExtensionType.ticket_request:
        parts.expectedTickets = body.u8();
        break;
      case ExtensionType.encrypted_client_hello:
        parts.retryConfigs = body.rest();
        break;
      default:
        continue;
    }
    body.finish("extension");
  }
  return parts;
}

function encodeAlpn(w: Writer, name: string): void {
  const body = w.u16(ExtensionType.application_layer_protocol_negotiation).begin(2);
  const list = w.begin(2);
  const protocol = w.begin(1);
  for (let i = 0; i < name.length; i++) w.u8(name.charCodeAt(i));
  w.end(protocol, 1).end(list, 2).end(body, 2);
}

/** RFC 7301 §3.1: the list MUST contain exactly one name. */
function decodeAlpn(body: Reader): string {
  const list = body.vector16();
  const name = String.fromCharCode(...list.vector8(1).rest());
  list.finish("ALPN protocol list");
  return name;
}
