/**
 * Names of sites: what is accepted, and the one spelling that the rest of sotto sees.
 * @module
 */
import { isIP } from "node:net";
import { domainToASCII } from "node:url";

/**
 * The A-label, lower-case form of a site's name (policy §2.1, §2.2); IP addresses in their shortest spelling.
 *
 * @returns the name, or what is wrong with it
 */
export function siteName(text: string): { readonly name: string } | { readonly wrong: string } {
  const trimmed = text.trim();
  if (trimmed === "") return { wrong: "is empty" };
  const address = trimmed.replace(/^\[(.*)\]$/, "$1");
  if (isIP(address) === 4) return { name: address };
  if (isIP(address) === 6) {
    if (address.includes("%")) return { wrong: "has a zone, which no certificate can carry" };
    return { name: new URL(`https://[${address}]`).hostname.slice(1, -1) };
  }
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(trimmed)) return { wrong: "is a URL; give the host name" };
  if (/:\d*$/.test(trimmed)) return { wrong: "has a port; ports are --https-port and --http-port" };
  if (/[\s()[\]{}<>"'\\!@#$%^&|;+=/,?`~]/.test(trimmed)) {
    return { wrong: "has a character that no host name has" };
  }
  if (trimmed.startsWith(".")) return { wrong: "begins with a dot" };
  if (trimmed.endsWith(".")) return { wrong: "ends with a dot" };

  const wildcard = trimmed.startsWith("*.");
  const host = wildcard ? trimmed.slice(2) : trimmed;
  if (host.includes("*")) {
    return { wrong: 'has "*" elsewhere than as the whole left-most label, as in "*.example.com"' };
  }
  const ascii = domainToASCII(host);
  if (ascii === "") return { wrong: "is not a host name" };
  if (isIP(ascii) !== 0) return { wrong: `would be read as the address ${ascii}` };
  const labels = ascii.split(".");
  if (labels.includes("")) return { wrong: "has an empty label" };
  for (const label of labels) {
    if (label.length > 63) return { wrong: "has a label of more than 63 characters" };
    if (!/^[a-z0-9_-]+$/.test(label)) return { wrong: "has a character that no host name has" };
    if (label.startsWith("-") || label.endsWith("-")) {
      return { wrong: "has a label that begins or ends with a hyphen" };
    }
  }
  if (ascii.length > 253) return { wrong: "has more than 253 characters" };
  return { name: wildcard ? `*.${ascii}` : ascii };
}
