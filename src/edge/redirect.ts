/**
 * The HTTP port: a redirect to HTTPS for names that are ours, and nothing else (policy §3.2-3.6).
 * @module
 */
import type { Socket, SocketEvents } from "../runtime/runtime.ts";
import type { Snapshot } from "../snapshot/snapshot.ts";

export interface RedirectParts {
  readonly snapshot: () => Snapshot;
  /** Where HTTPS is served. */
  readonly httpsPort: () => number;
}

/** Accepts connections of the HTTP port; hand `accept` to `Runtime.listen`. */
export class RedirectServer {
  readonly #parts: RedirectParts;
  readonly #open = new Set<RedirectConnection>();

  constructor(parts: RedirectParts) {
    this.#parts = parts;
  }

  readonly accept = (socket: Socket): SocketEvents => {
    const connection = new RedirectConnection(socket, this.#parts, () => {
      this.#open.delete(connection);
    });
    // It must never starve TLS.
    if (this.#open.size >= MAX_CONNECTIONS) socket.terminate();
    else this.#open.add(connection);
    return connection;
  };

  get liveConnections(): number {
    return this.#open.size;
  }

  /** Ends what is open: a redirect is soon asked for again. */
  stop(): void {
    for (const connection of this.#open) connection.terminate();
  }
}

const MAX_CONNECTIONS = 1000;
const MAX_HEAD_BYTES = 8192;
const DEADLINE_MS = 10_000;

/** One request, one answer, the end. */
class RedirectConnection implements SocketEvents {
  readonly #socket: Socket;
  readonly #parts: RedirectParts;
  readonly #gone: () => void;
  readonly #deadline: ReturnType<typeof setTimeout>;
  #head = "";
  #unsent: Uint8Array | undefined;
  #isAnswered = false;

  constructor(socket: Socket, parts: RedirectParts, gone: () => void) {
    this.#socket = socket;
    this.#parts = parts;
    this.#gone = gone;
    this.#deadline = setTimeout(() => socket.terminate(), DEADLINE_MS);
  }

  data(bytes: Uint8Array): void {
    if (this.#isAnswered) return;
    for (const byte of bytes.subarray(0, MAX_HEAD_BYTES)) this.#head += String.fromCharCode(byte);
    const end = /\r?\n\r?\n/.exec(this.#head)?.index;
    if (end !== undefined) this.#answer(this.#head.slice(0, end));
    else if (this.#head.length >= MAX_HEAD_BYTES) this.#send(431);
  }

  drain(): void {
    const unsent = this.#unsent;
    if (unsent === undefined) return;
    this.#unsent = unsent.subarray(this.#socket.write(unsent, 0, unsent.length));
    if (this.#unsent.length === 0) {
      this.#unsent = undefined;
      this.#socket.shutdown();
    }
  }

  end(): void {
    if (!this.#isAnswered) this.#socket.terminate();
  }

  close(): void {
    clearTimeout(this.#deadline);
    this.#gone();
  }

  terminate(): void {
    this.#socket.terminate();
  }

  #answer(head: string): void {
    const request = parseHead(head);
    if (request === undefined) return this.#send(400);
    const site = this.#parts.snapshot().findText(request.host);
    // Never a redirect that a client made up: the name has to be one of ours.
    if (site === undefined || site.publicNameOnly) return this.#send(404);
    this.#send(308, `https://${request.authority}${this.#port(request)}${request.target}`);
  }

  /**
   * Nothing where the client's own port 80 leads here through a forwarding: its 443 does too (policy §3.2). Else the
   * port of HTTPS, where it is not 443.
   */
  #port({ hasPort }: Request): string {
    const isForwarded = !hasPort && this.#socket.localPort !== 80;
    const port = this.#parts.httpsPort();
    return isForwarded || port === 443 ? "" : `:${port}`;
  }

  #send(status: keyof typeof REASONS, location?: string): void {
    this.#isAnswered = true;
    const lines = [`HTTP/1.1 ${status} ${REASONS[status]}`];
    if (location !== undefined) lines.push(`Location: ${location}`);
    lines.push("Content-Length: 0", "Connection: close", "", "");
    this.#unsent = new TextEncoder().encode(lines.join("\r\n"));
    this.drain();
  }
}

const REASONS = {
  308: "Permanent Redirect",
  400: "Bad Request",
  404: "Not Found",
  431: "Request Header Fields Too Large",
} as const;

interface Request {
  /** Lower case, no port, no brackets. */
  readonly host: string;
  /** The same as it stands in a URL. */
  readonly authority: string;
  readonly hasPort: boolean;
  /** Path and query. */
  readonly target: string;
}

/** Undefined: missing, doubled or malformed (policy §3.5, §3.6). */
function parseHead(head: string): Request | undefined {
  const [requestLine = "", ...fields] = head.split(/\r?\n/);
  const request = /^[!#$%&'*+.^_`|~\w-]+ ([\x21-\x7e]+) HTTP\/1\.[01]$/.exec(requestLine);
  if (request === null) return undefined;
  const hosts = fields.filter((field) => /^host:/i.test(field)).map((field) =>
    field.slice(5).trim()
  );
  if (hosts.length !== 1) return undefined;
  let hostField = hosts[0]!;
  let target = request[1]!;
  // RFC 9112 §3.2.2: the absolute form's authority replaces Host.
  const absolute = /^http:\/\/([^/?#]*)([/?][^#]*)?$/i.exec(target);
  if (absolute !== null) {
    hostField = absolute[1]!;
    target = absolute[2] ?? "/";
    if (target.startsWith("?")) target = `/${target}`;
  } else if (!target.startsWith("/") || target.includes("#")) {
    return undefined;
  }
  const host = /^(?:([\w.-]+?)\.?|\[([\da-f:.]+)\])(:\d{0,5})?$/i.exec(hostField);
  if (host === null) return undefined;
  const name = (host[1] ?? host[2]!).toLowerCase();
  const authority = host[1] === undefined ? `[${name}]` : name;
  return { host: name, authority, hasPort: host[3] !== undefined && host[3] !== ":80", target };
}
