/**
 * The HTTP port: a redirect to HTTPS for names that are ours, and nothing else (policy §3.2-3.6).
 * @module
 */
import type { HostPort } from "../http/host.ts";
import { HttpError, parseRequestHead } from "../http/request-head.ts";
import { pathOfTarget } from "../http/request-target.ts";
import type { Socket, SocketEvents } from "../runtime/runtime.ts";
import type { Site, Snapshot } from "../snapshot/snapshot.ts";
import { canonicalHost, matchesName } from "../x509/names.ts";

export interface RedirectParts {
  readonly snapshot: () => Snapshot;
  /** Where HTTPS is served. */
  readonly httpsPort: () => number;
  /**
   * What a CA is to be answered, by token and the host that was asked for (acme §7a). Without an answer, or without
   * this: it is a path like others.
   */
  readonly challenge?: (token: string, host: string) => Promise<string | undefined>;
}

/** Accepts connections of the HTTP port; hand `accept` to `Runtime.listen`. */
export class RedirectServer {
  readonly #parts: RedirectParts;
  readonly #open = new Set<RedirectConnection>();
  #whenEmpty: (() => void) | undefined;

  constructor(parts: RedirectParts) {
    this.#parts = parts;
  }

  readonly accept = (socket: Socket): SocketEvents => {
    const connection = new RedirectConnection(socket, this.#parts, () => {
      this.#open.delete(connection);
      if (this.#open.size === 0) this.#whenEmpty?.();
    });
    // It must never starve TLS.
    if (this.#open.size >= MAX_CONNECTIONS) this.#makeRoom();
    this.#open.add(connection);
    return connection;
  };

  /**
   * Refusing the new one would let anybody who holds connections open shut everybody out. The oldest goes instead: a
   * real client has had its answer long before its turn comes.
   */
  #makeRoom(): void {
    for (const oldest of this.#open) {
      this.#open.delete(oldest);
      return oldest.terminate();
    }
  }

  get liveConnections(): number {
    return this.#open.size;
  }

  /** After its listeners: gives what is open a moment to get its answer, and then ends it. */
  async stop(): Promise<void> {
    if (this.#open.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, STOP_AFTER_MS);
      this.#whenEmpty = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    for (const connection of this.#open) connection.terminate();
  }
}

const STOP_AFTER_MS = 1_000;
const MAX_CONNECTIONS = 1000;
const MAX_HEAD_BYTES = 8192;
const MAX_FIELDS = 100;
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
    const end = this.#head.indexOf("\r\n\r\n");
    if (end !== -1) this.#answer(this.#head.slice(0, end));
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
    const wanted = parseWanted(head);
    if (wanted === undefined) return this.#send(400);
    const method = head.slice(0, head.indexOf(" "));
    const token = method === "GET" || method === "HEAD"
      ? CHALLENGE.exec(wanted.target)?.[1]
      : undefined;
    if (token === undefined || this.#parts.challenge === undefined) return this.#redirect(wanted);
    this.#isAnswered = true;
    void this.#parts.challenge(token, wanted.host.host).then((answer) => {
      if (answer === undefined) this.#redirect(wanted);
      else this.#send(200, { body: answer, isHead: method === "HEAD" });
    });
  }

  #redirect({ host, target }: Wanted): void {
    const site = this.#parts.snapshot().findText(host.host);
    // Never a redirect that a client made up: the name has to be one of ours.
    if (!redirects(site, host.host)) return this.#send(404);
    const authority = host.host.includes(":") ? `[${host.host}]` : host.host;
    this.#send(308, { location: `https://${authority}${this.#port(host)}${target}` });
  }

  /**
   * Nothing where the client's own port 80 leads here through a forwarding: its 443 does too (policy §3.2). Else the
   * port of HTTPS, where it is not 443.
   */
  #port({ port = 80 }: HostPort): string {
    const isForwarded = port === 80 && this.#socket.localPort !== 80;
    const https = this.#parts.httpsPort();
    return isForwarded || https === 443 ? "" : `:${https}`;
  }

  #send(
    status: keyof typeof REASONS,
    { location, body = "", isHead = false }: Answer = {},
  ): void {
    this.#isAnswered = true;
    const lines = [`HTTP/1.1 ${status} ${REASONS[status]}`];
    if (location !== undefined) lines.push(`Location: ${location}`);
    if (body !== "") lines.push("Content-Type: application/octet-stream");
    lines.push(`Content-Length: ${body.length}`, "Connection: close", "", isHead ? "" : body);
    this.#unsent = new TextEncoder().encode(lines.join("\r\n"));
    this.drain();
  }
}

/** RFC 8555 §8.3; a token is base64url. */
const CHALLENGE = /^\/\.well-known\/acme-challenge\/([\w-]{1,128})$/;

const REASONS = {
  200: "OK",
  308: "Permanent Redirect",
  400: "Bad Request",
  404: "Not Found",
  431: "Request Header Fields Too Large",
} as const;

interface Answer {
  readonly location?: string;
  /** ASCII. */
  readonly body?: string;
  readonly isHead?: boolean;
}

export interface Wanted {
  readonly host: HostPort;
  /** Path and query, ASCII. */
  readonly target: string;
}

/** Undefined: malformed, or without a Host (policy §3.5, §3.6). */
export function parseWanted(text: string): Wanted | undefined {
  try {
    const head = parseRequestHead(text, MAX_FIELDS);
    const target = pathOfTarget(head.target);
    return head.host === undefined || target === undefined
      ? undefined
      : { host: head.host, target };
  } catch (error) {
    if (error instanceof HttpError) return undefined;
    throw error;
  }
}

/**
 * The site is there, and who comes in plain HTTP is sent to HTTPS (policy §3.4). One that requires ECH is not there for
 * who asks without (§8.7); a client that can do ECH asks DNS first, and does not begin with HTTP (RFC 9460 §9.5).
 */
export function redirects(site: Site | undefined, host: string): boolean {
  if (site === undefined || site.publicNameOnly || site.requireEch === true) return false;
  const without = site.hosts?.noRedirects ?? [];
  if (without === true) return false;
  const name = canonicalHost(host);
  // What a name of the site's own says goes before what its wildcard says.
  return site.names.includes(name)
    ? !without.includes(name)
    : !without.some((pattern) => matchesName(pattern, name));
}
