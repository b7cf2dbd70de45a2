/**
 * PEM (RFC 7468): blocks, as many as there are, in one text, with other text around them.
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
 * @throws {X509Error} a block without an end, or with something other than base64 in it: which one, and in which line.
 *   What stands there is not told: it may be a key's
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
      const line = lineOf(text, start);
      throw new X509Error(
        `the PEM block in line ${line} does not begin as one does, with ` +
          `"-----BEGIN CERTIFICATE-----" for example. ${ADVICE}`,
      );
    }
    const footer = `-----END ${label}-----`;
    const end = text.indexOf(footer, labelEnd);
    if (end === -1) throw damaged(text, start, label, `has no end, ${JSON.stringify(footer)}`);
    at = end + footer.length;
    const body = text.slice(labelEnd + 5, end);
    const der = decodeBody(body);
    if (der === undefined) {
      throw damaged(text, start, label, whyNotBase64(body, lineOf(text, start)));
    }
    blocks.push({ label, der, text: text.slice(start, at) + "\n" });
  }
}

/**
 * Nothing is missing of a block that holds DER, nor is there more.
 *
 * @throws {X509Error} lines of it have been lost, say
 */
export function checkWhole({ der }: PemBlock): void {
  const [tag, length = 0] = der;
  if (tag !== 0x30) throw new X509Error(`its PEM block is damaged where it begins. ${ADVICE}`);
  const lengthBytes = length < 0x80 ? 0 : length - 0x80;
  let whole = lengthBytes === 0 ? length : 0;
  for (const byte of der.subarray(2, 2 + lengthBytes)) whole = whole * 256 + byte;
  whole += 2 + lengthBytes;
  if (whole === der.length) return;
  throw new X509Error(
    `its PEM block is damaged: it has ${der.length} bytes in place of ${whole}. ${ADVICE}`,
  );
}

/** @param wanted the label of the block that a text does not hold */
export function missingBlock(text: string, wanted: "CERTIFICATE" | "PRIVATE KEY"): X509Error {
  const labels = new Set(decodePem(text).map(({ label }) => label));
  if (labels.size === 0) return new X509Error(`it holds no "BEGIN ${wanted}" block`);
  const found = [...labels].slice(0, MAX_LABELS).map((label) => JSON.stringify(`BEGIN ${label}`));
  const way = wanted === "CERTIFICATE" ? WAYS.get([...labels][0]!) : undefined;
  return new X509Error(
    `it holds no "BEGIN ${wanted}" block, but ${found.join(", ")}` +
      (way === undefined ? "" : `. Convert it with: openssl ${way} -in FILE -out NEW`),
  );
}

const MAX_LABELS = 3;

/** By what of openssl certificates are made of other blocks. */
const WAYS: ReadonlyMap<string, string> = new Map([
  ["PKCS7", "pkcs7 -print_certs"],
  ["TRUSTED CERTIFICATE", "x509"],
]);

/** One block, lines of 64 characters, with a newline at the end. */
export function encodePem(label: string, der: Uint8Array): string {
  const base64 = Buffer.from(der.buffer, der.byteOffset, der.length).toString("base64");
  const lines = base64.match(/.{1,64}/g) ?? [];
  return [`${BEGIN}${label}-----`, ...lines, `-----END ${label}-----`, ""].join("\n");
}

/** Undefined: it is no base64. */
function decodeBody(body: string): Uint8Array | undefined {
  if (body.includes(":")) return new Uint8Array(0);
  const base64 = body.replaceAll(/\s+/g, "");
  if (base64.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return undefined;
  return new Uint8Array(Buffer.from(base64, "base64"));
}

/** @param first the line that `body` begins in */
function whyNotBase64(body: string, first: number): string {
  const lines = body.split("\n");
  const last = lines.findLastIndex((line) => line.trim() !== "");
  if (last === -1) return "is empty";
  const wrong = lines.findIndex((line, i) =>
    !(i === last ? /^[A-Za-z0-9+/\s]+={0,2}$/ : /^[A-Za-z0-9+/\s]*$/).test(line.trimEnd())
  );
  return wrong === -1
    ? "is damaged: it has too few or too many characters"
    : `is damaged: line ${first + wrong} is not base64`;
}

function damaged(text: string, start: number, label: string, how: string): X509Error {
  return new X509Error(
    `the PEM block ${JSON.stringify(label)} in line ${lineOf(text, start)} ${how}. ${ADVICE}`,
  );
}

/** From 1. */
function lineOf(text: string, at: number): number {
  return text.slice(0, at).split("\n").length;
}

const ADVICE = "Copy the whole file again";
const BEGIN = "-----BEGIN ";
