/**
 * PEM (RFC 7468): any number of blocks in one text, with other text around them.
 * @module
 */
import { Buffer } from "node:buffer";
import { X509Error } from "./error.ts";

export interface PemBlock {
  /** "CERTIFICATE", "PRIVATE KEY", "EC PRIVATE KEY", … */
  readonly label: string;
  readonly der: Uint8Array;
  /** The block as it stood in the text, for libraries that want PEM. */
  readonly text: string;
}

/**
 * All blocks of a text, in order. A block with RFC 1421 headers ("Proc-Type: 4,ENCRYPTED") has an empty `der`.
 *
 * @throws {X509Error} a block without an end, or with something other than base64 in it
 */
export function decodePem(text: string): PemBlock[] {
  const blocks: PemBlock[] = [];
  let at = 0;
  for (;;) {
    const start = text.indexOf(BEGIN, at);
    if (start === -1) return blocks;
    const labelEnd = text.indexOf("-----", start + BEGIN.length);
    const label = labelEnd === -1 ? "" : text.slice(start + BEGIN.length, labelEnd);
    if (label === "" || label.length > 64 || label.includes("\n")) {
      throw new X509Error("a PEM block's first line is broken");
    }
    const footer = `-----END ${label}-----`;
    const end = text.indexOf(footer, labelEnd);
    if (end === -1) throw new X509Error(`the PEM block ${label} has no end`);
    at = end + footer.length;
    blocks.push({
      label,
      der: decodeBody(label, text.slice(labelEnd + 5, end)),
      text: text.slice(start, at) + "\n",
    });
  }
}

/** One block, lines of 64 characters, with a newline at the end. */
export function encodePem(label: string, der: Uint8Array): string {
  const base64 = Buffer.from(der.buffer, der.byteOffset, der.length).toString("base64");
  const lines = base64.match(/.{1,64}/g) ?? [];
  return [`${BEGIN}${label}-----`, ...lines, `-----END ${label}-----`, ""].join("\n");
}

function decodeBody(label: string, body: string): Uint8Array {
  if (body.includes(":")) return new Uint8Array(0);
  const base64 = body.replaceAll(/\s+/g, "");
  if (base64.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) {
    throw new X509Error(`the PEM block ${label} is not base64`);
  }
  return new Uint8Array(Buffer.from(base64, "base64"));
}

const BEGIN = "-----BEGIN ";
