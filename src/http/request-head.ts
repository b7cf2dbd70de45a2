/**
 * The head of an HTTP/1.x request (RFC 9112 §2-§6), read strictly: what two servers might read differently is refused.
 * @module
 */
import { type HostPort, parseHost } from "./host.ts";

export interface RequestHead {
  readonly method: string;
  /** As it came. */
  readonly target: string;
  readonly minorVersion: 0 | 1;
  /** From the target in absolute form, else from Host; undefined in HTTP/1.0 without either. */
  readonly host: HostPort | undefined;
  /** The client wants the connection to stay. */
  readonly keepAlive: boolean;
  readonly expectsContinue: boolean;
  /** Bytes, or "chunked". 0 without a body. */
  readonly body: number | "chunked";
}

/** A request that gets no other answer than its status. The connection ends with it. */
export class HttpError extends Error {
  override readonly name = "HttpError";
  readonly status: 400 | 413 | 417 | 431 | 501 | 505;

  constructor(status: HttpError["status"], what: string) {
    super(what);
    this.status = status;
  }
}

/**
 * `text` is all up to the empty line, that line excluded, byte by character (latin1).
 * @throws {HttpError} 400; 417, 501 and 505 for what is legal and not served here; 431 for too many fields
 */
export function parseRequestHead(text: string, maxFields: number): RequestHead {
  const lines = text.split("\r\n");
  if (lines.length - 1 > maxFields) throw new HttpError(431, "too many header fields");
  const line = REQUEST_LINE.exec(lines[0]!);
  if (line === null) throw new HttpError(400, "bad request line");
  const [, method = "", target = "", major, minor] = line;
  if (major !== "1") throw new HttpError(505, "not HTTP/1");
  const minorVersion = minor === "0" ? 0 : 1;

  const fields = new Fields();
  for (let i = 1; i < lines.length; i++) fields.add(lines[i]!);

  return {
    method,
    target,
    minorVersion,
    host: hostOf(method, target, minorVersion, fields.host),
    keepAlive: minorVersion === 1
      ? !fields.connection.includes("close")
      : fields.connection.includes("keep-alive"),
    expectsContinue: minorVersion === 1 && fields.expectsContinue(),
    body: fields.body(minorVersion),
  };
}

const TOKEN = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+";
const REQUEST_LINE = new RegExp(`^(${TOKEN}) ([\\x21-\\x7e\\x80-\\xff]+) HTTP/(\\d)\\.(\\d)$`);
const FIELD_LINE = new RegExp(`^(${TOKEN}):([\\t\\x20-\\x7e\\x80-\\xff]*)$`);
const CONTENT_LENGTH = /^\d{1,15}$/;

/** The few fields that decide where a request ends and whom it is for. */
class Fields {
  host: string | undefined;
  readonly connection: string[] = [];
  #contentLength: string | undefined;
  #transferEncoding: string | undefined;
  #expect: string | undefined;

  add(line: string): void {
    // No space before the colon, no folded lines, no bare CR or LF, no NUL (RFC 9112 §5).
    const parts = FIELD_LINE.exec(line);
    if (parts === null) throw new HttpError(400, "bad header field");
    const value = trimmed(parts[2]!);
    switch (parts[1]!.toLowerCase()) {
      case "host":
        this.host = once(this.host, value);
        break;
      case "content-length":
        this.#contentLength = once(this.#contentLength, value);
        break;
      case "transfer-encoding":
        this.#transferEncoding = once(this.#transferEncoding, value);
        break;
      case "expect":
        this.#expect = once(this.#expect, value);
        break;
      case "connection":
        for (const option of value.split(",")) this.connection.push(trimmed(option).toLowerCase());
        break;
      default:
    }
  }

  body(minorVersion: number): number | "chunked" {
    const coding = this.#transferEncoding;
    if (coding === undefined) {
      if (this.#contentLength === undefined) return 0;
      if (CONTENT_LENGTH.test(this.#contentLength)) return Number(this.#contentLength);
      throw new HttpError(400, "bad Content-Length");
    }
    // RFC 9112 §6.1, §6.3: both together, or a coding in HTTP/1.0, smells of request smuggling.
    if (this.#contentLength !== undefined || minorVersion === 0) {
      throw new HttpError(400, "Transfer-Encoding where none belongs");
    }
    if (coding.toLowerCase() === "chunked") return "chunked";
    throw new HttpError(501, "unknown transfer coding");
  }

  expectsContinue(): boolean {
    if (this.#expect === undefined) return false;
    if (this.#expect.toLowerCase() === "100-continue") return true;
    throw new HttpError(417, "unknown expectation");
  }
}

function once(before: string | undefined, value: string): string {
  if (before !== undefined) throw new HttpError(400, "repeated header field");
  return value;
}

/** RFC 9112 §3.2: which forms of target there are, and where each keeps its host. */
function hostOf(
  method: string,
  target: string,
  minorVersion: number,
  field: string | undefined,
): HostPort | undefined {
  if (field === undefined && minorVersion === 1) throw new HttpError(400, "missing Host");
  const fromField = field === undefined ? undefined : validHost(field);
  if (target.startsWith("/") || (target === "*" && method === "OPTIONS")) return fromField;
  const absolute = /^https?:\/\/([^/?#]*)/i.exec(target);
  if (absolute === null) throw new HttpError(400, "bad request target");
  return validHost(absolute[1]!);
}

function validHost(value: string): HostPort {
  const host = parseHost(value);
  if (host === undefined) throw new HttpError(400, "bad host");
  return host;
}

/** Without spaces and tabs around it. Not by a regular expression: those are quadratic at the end of a line. */
function trimmed(value: string): string {
  let start = 0;
  let end = value.length;
  while (start < end && isBlank(value.charCodeAt(start))) start++;
  while (end > start && isBlank(value.charCodeAt(end - 1))) end--;
  return value.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
