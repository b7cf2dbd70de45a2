/**
 * Host names and IP addresses: one spelling of each, which certificate covers which, who can certify them.
 *
 * Own code, since the runtimes' classes disagree about wildcards and about how IPv6 is written.
 *
 * @module
 */
import { domainToASCII } from "node:url";

/** Who gives a certificate for a name by default (policy §2). */
export type DefaultIssuer = "public" | "local" | "tailscale" | "none";

export type QualifiedName =
  | {
    /** Lower-case A-labels, or an IP address in canonical text. */
    readonly name: string;
    readonly kind: "dns" | "wildcard" | "ip";
    readonly issuer: DefaultIssuer;
    /** Could a public CA certify it at all? */
    readonly publicPossible: boolean;
  }
  | { readonly refused: string };

/**
 * A name as an operator writes it, brought into its one spelling and judged (policy §2.1-2.3).
 * `refused` says what is wrong with it, ready to stand behind the name in a message.
 */
export function qualifyName(text: string): QualifiedName {
  const trimmed = text.trim();
  const ip = canonicalIp(trimmed);
  if (ip !== undefined) {
    return { name: ip, kind: "ip", issuer: "local", publicPossible: !isInternalIp(ip) };
  }
  const name = toALabels(trimmed);
  const problem = name === undefined ? "is not a host name" : problemOf(name);
  if (name === undefined || problem !== undefined) return { refused: problem ?? "" };
  const isWildcard = name.startsWith("*.");
  const kind = isWildcard ? "wildcard" : "dns";
  const host = isWildcard ? name.slice(2) : name;
  if (isLocalName(host)) return { name, kind, issuer: "local", publicPossible: false };
  if (endsWithLabels(host, "ts.net")) {
    return { name, kind, issuer: "tailscale", publicPossible: false };
  }
  if (!host.includes(".")) {
    // "*.com" would be a whole public suffix; "intranet" is nobody's but ours
    return { name, kind, issuer: isWildcard ? "none" : "local", publicPossible: false };
  }
  if (name.includes("_")) return { name, kind, issuer: "none", publicPossible: false };
  return { name, kind, issuer: "public", publicPossible: true };
}

/** A name by which an operator means one that stands elsewhere, in the one spelling of that. It need not be valid. */
export function spelledName(text: string): string {
  const qualified = qualifyName(text);
  return "refused" in qualified ? canonicalHost(text) : qualified.name;
}

/** Does a certificate or site with this name (perhaps "*.example.com": exactly one label) cover `host`? Both canonical. */
export function matchesName(name: string, host: string): boolean {
  if (name === host) return true;
  if (!name.startsWith("*.") || canonicalIp(host) !== undefined) return false;
  const dot = host.indexOf(".");
  return dot > 0 && host.length - dot === name.length - 1 && host.endsWith(name.slice(1));
}

/** The same for all the names of a certificate and a host as a peer writes it. */
export function coversHost(names: readonly string[], host: string): boolean {
  const canonical = canonicalHost(host);
  return names.some((name) => matchesName(name, canonical));
}

/**
 * A host as it comes in Host or SNI (without a port), made comparable: lower case, one trailing dot gone, an IP address
 * in canonical text without brackets. It need not be a valid name.
 */
export function canonicalHost(host: string): string {
  const ip = canonicalIp(host);
  if (ip !== undefined) return ip;
  return (host.endsWith(".") ? host.slice(0, -1) : host).toLowerCase();
}

/**
 * An IP address in its one spelling: dotted decimals, or RFC 5952 without brackets and zone. An IPv4-mapped IPv6
 * address is the IPv4 address, as sockets report those. Undefined: it is none.
 */
export function canonicalIp(text: string): string | undefined {
  const bare = text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1) : text;
  const bytes = bare.includes(":") ? parseIpv6(bare) : bare === text ? parseIpv4(bare) : undefined;
  return bytes === undefined ? undefined : ipFromBytes(bytes);
}

/** Canonical text of 4 or 16 bytes; undefined for another number of bytes. */
export function ipFromBytes(bytes: ArrayLike<number>): string | undefined {
  if (bytes.length === 4) return Array.from(bytes).join(".");
  if (bytes.length !== 16) return undefined;
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! << 8) | bytes[2 * i + 1]!);
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) {
    return Array.from(bytes).slice(12).join(".");
  }
  // the longest run of two or more zero groups, the first of equals, becomes "::" (RFC 5952 §4.2)
  let longest = { at: -1, length: 1 };
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (groups[at + length] === 0) length++;
    if (length > longest.length) longest = { at, length };
  }
  const text = (part: readonly number[]): string => part.map((n) => n.toString(16)).join(":");
  if (longest.at === -1) return text(groups);
  return `${text(groups.slice(0, longest.at))}::${text(groups.slice(longest.at + longest.length))}`;
}

/** Lower case; labels beyond ASCII by UTS 46, non-transitional (policy §2.2). Undefined: that cannot be done. */
function toALabels(text: string): string | undefined {
  if (/^\p{ASCII}*$/u.test(text)) return text.toLowerCase();
  const wildcard = text.startsWith("*.") ? "*." : "";
  const ascii = domainToASCII(text.slice(wildcard.length));
  return ascii === "" ? undefined : wildcard + ascii;
}

function problemOf(name: string): string | undefined {
  if (name === "") return "is empty";
  if (name === "*") return "would stand for every name: that is for on_demand alone";
  if (name.length > 253) return "is longer than 253 characters";
  if (name.startsWith(".")) return "begins with a dot";
  if (name.endsWith(".")) return "ends with a dot";
  const labels = name.split(".");
  if (labels[0] === "*") labels.shift();
  for (const label of labels) {
    if (label === "") return "has two dots in a row";
    if (label.includes("*")) return 'may have "*" only as its whole first label';
    if (label.length > 63) return "has a label of more than 63 characters";
    const odd = /[^a-z0-9_-]/.exec(label);
    if (odd !== null) return `may not contain ${JSON.stringify(odd[0])}`;
    if (label.startsWith("-") || label.endsWith("-")) {
      return "has a label with a hyphen at its edge";
    }
  }
  if (/^[0-9]+$/.test(labels.at(-1) ?? "")) return "looks like an IP address, but is none";
  return undefined;
}

function isLocalName(host: string): boolean {
  return LOCAL_SUFFIXES.some((suffix) => endsWithLabels(host, suffix));
}

function endsWithLabels(host: string, suffix: string): boolean {
  return host === suffix || host.endsWith(`.${suffix}`);
}

/** RFC 6761, 6762, 7686, 8375 and ICANN's .internal: no public CA may certify them. */
const LOCAL_SUFFIXES = [
  "localhost",
  "local",
  "internal",
  "home.arpa",
  "test",
  "example",
  "invalid",
  "onion",
];

/** Addresses that mean nothing outside this machine or network. `ip` is canonical. */
export function isInternalIp(ip: string): boolean {
  const v4 = parseIpv4(ip);
  if (v4 !== undefined) {
    const [a, b] = v4 as [number, number, number, number];
    return a === 0 || a === 10 || a === 127 || (a === 100 && b >= 64 && b < 128) ||
      (a === 169 && b === 254) || (a === 172 && b >= 16 && b < 32) || (a === 192 && b === 168);
  }
  const v6 = parseIpv6(ip);
  if (v6 === undefined) return false;
  return ip === "::" || ip === "::1" || (v6[0] === 0xfe && (v6[1]! & 0xc0) === 0x80) ||
    (v6[0]! & 0xfe) === 0xfc;
}

/** The 4 or 16 bytes of an address in canonical text. @throws {RangeError} it is none */
export function bytesFromIp(ip: string): Uint8Array {
  const bytes = ip.includes(":") ? parseIpv6(ip) : parseIpv4(ip);
  if (bytes === undefined) throw new RangeError(`Cannot read ${ip}: it is no IP address`);
  return Uint8Array.from(bytes);
}

function parseIpv4(text: string): number[] | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  const bytes: number[] = [];
  for (const part of parts) {
    // no leading zeros: some read them as octal
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return undefined;
    bytes.push(Number(part));
  }
  return bytes;
}

function parseIpv6(text: string): number[] | undefined {
  const bare = text.split("%", 1)[0]!; // a zone is this host's affair
  const halves = bare.split("::");
  if (halves.length > 2 || bare.length > 45) return undefined;
  const [head, tail] = halves.map((half, index) =>
    half === "" ? [] : parseGroups(half, index === halves.length - 1)
  );
  if (head === undefined || (halves.length === 2 && tail === undefined)) return undefined;
  if (tail === undefined) return head.length === 16 ? head : undefined;
  const missing = 16 - head.length - tail.length;
  if (missing < 2) return undefined;
  return [...head, ...new Uint8Array(missing), ...tail];
}

/** "a:b:c", or at the end of an address "a:b:1.2.3.4", as bytes. */
function parseGroups(text: string, isEnd: boolean): number[] | undefined {
  const bytes: number[] = [];
  const groups = text.split(":");
  for (const [index, group] of groups.entries()) {
    if (isEnd && index === groups.length - 1 && group.includes(".")) {
      const v4 = parseIpv4(group);
      if (v4 === undefined) return undefined;
      bytes.push(...v4);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined;
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
    }
  }
  return bytes;
}
