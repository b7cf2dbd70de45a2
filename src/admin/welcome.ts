/**
 * The page that serves where nothing else is configured: it tells visitors about their own connection.
 *
 * Its facts are hono's env, so it is also the smallest example of an app that knows its connection.
 *
 * @module
 */
import { Hono } from "hono";
import { html, raw } from "hono/html";

import type { ConnectionFacts } from "../edge/handlers/handler.ts";
import type { EchStatus } from "../tls/output.ts";
import { CipherSuite, NamedGroup, SignatureScheme } from "../tls/wire/code-points.ts";

/** What the page knows beyond the connection; asked at each visit. */
export interface WelcomeParts {
  /** The certificate that a connection was shown. */
  certificate(facts: ConnectionFacts): ShownCertificate | undefined;
  /** Undefined: ECH is off. `configList` in base64. */
  ech(): { readonly publicName: string; readonly configList: string } | undefined;
  /** Path of the local CA's root certificate. */
  readonly root: string;
}

export interface ShownCertificate {
  readonly subject: string;
  readonly issuer: string;
  readonly notAfterMs: number;
}

type Env = { Bindings: ConnectionFacts };

export function welcomeApp(parts: WelcomeParts): Hono<Env> {
  const app = new Hono<Env>();
  app.use(async (c, next) => {
    await next();
    c.header("Cache-Control", "no-store");
    c.header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'");
    c.header("X-Content-Type-Options", "nosniff");
  });
  app.get("/", (c) => c.html(page(c.env, parts)));
  app.get("/connection.json", (c) => c.json(Object.fromEntries(rows(c.env, parts))));
  return app;
}

/** One word for what became of ECH. */
export type EchVerdict = "accepted" | "rejected" | "GREASE" | "not offered";

export function echVerdict(ech: EchStatus): EchVerdict {
  switch (ech.outcome) {
    case "accepted":
      return "accepted";
    case "rejected":
      // Only a client that means it puts the public name outside; GREASE keeps its own (ech-server §6).
      return ech.staleLikely || ech.heldId ? "rejected" : "GREASE";
    case "not-offered":
      return "not offered";
  }
}

/** The facts, each as key and value. */
function rows(facts: ConnectionFacts, parts: WelcomeParts): [string, string][] {
  const certificate = parts.certificate(facts);
  const list: [string, string | undefined][] = [
    ["TLS version", "TLS 1.3"],
    ["Encrypted Client Hello", echVerdict(facts.ech)],
    ["Server name", facts.serverName ?? "none sent"],
    ["Key exchange", nameOf(NamedGroup, facts.group)],
    ["Cipher suite", nameOf(CipherSuite, facts.cipherSuite)],
    ["Application protocol", facts.alpn ?? "none agreed"],
    ["Resumed", facts.resumed ? "yes, from a ticket" : "no, a full handshake"],
    ["Hello retried", facts.helloRetried ? "yes" : "no"],
    [
      "Certificate",
      certificate &&
      `${certificate.subject}, from ${certificate.issuer}, until ${day(certificate.notAfterMs)}`,
    ],
    [
      "Signature",
      facts.signatureScheme === undefined
        ? undefined
        : nameOf(SignatureScheme, facts.signatureScheme),
    ],
    ["Client certificate", facts.client?.verdict ?? "none"],
    ["Your address", `${facts.remoteAddress}, port ${facts.remotePort}`],
  ];
  return list.filter((row): row is [string, string] => row[1] !== undefined);
}

function nameOf(points: Readonly<Record<string, number>>, code: number): string {
  const known = Object.entries(points).find(([, value]) => value === code);
  return known?.[0] ?? `0x${code.toString(16).padStart(4, "0")}`;
}

function day(ms: number): string {
  return new Date(ms).toISOString().slice(0, 16).replace("T", " ") + " UTC";
}

function page(facts: ConnectionFacts, parts: WelcomeParts) {
  const verdict = echVerdict(facts.ech);
  const ech = parts.ech();
  return html`
    <!DOCTYPE html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>sotto serves</title>
        <style>${raw(STYLE)}</style>
      </head>
      <body>
        <main>
    <h1>It serves.</h1>
    <p class="verdict ${verdict === "accepted" ? "good" : "plain"}">${sentence(
      verdict,
      facts,
      ech?.publicName,
    )}</p>
    <h2>Your connection</h2>
    <table>${rows(facts, parts).map(([key, value]) =>
      html`
        <tr>
          <th scope="row">${key}</th>
          <td>${value}</td>
        </tr>
      `
    )}
    </table>
    ${ech === undefined
      ? html`<p>ECH is switched off here.</p>`
      : howTo(facts, ech.configList, parts)}
    <h2>What next</h2>
    <p>Write a <code>sotto.toml</code> with a <code>[[site]]</code> of yours and start again.
    The same facts as JSON: <a href="/connection.json">/connection.json</a>.</p>
        </main>
      </body>
    </html>
  `;
}

function sentence(verdict: EchVerdict, facts: ConnectionFacts, publicName = "the public name") {
  const name = facts.serverName ?? "this server";
  switch (verdict) {
    case "accepted":
      return html`Encrypted Client Hello: <strong>accepted</strong>. Whoever watched the line saw
${publicName}, not ${name}.`;
    case "rejected":
      return html`Encrypted Client Hello: <strong>rejected</strong>. Your client used a key that is
not, or no longer, ours.`;
    case "GREASE":
      return html`Encrypted Client Hello: <strong>GREASE</strong>. Your client sent a dummy, so that
real ones do not stand out. The name ${name} went in the clear.`;
    case "not offered":
      return html`Encrypted Client Hello: <strong>not offered</strong>. The name ${name} went in the
clear.`;
  }
}

function howTo(facts: ConnectionFacts, configList: string, parts: WelcomeParts) {
  const name = facts.serverName ?? "localhost";
  const port = facts.localPort;
  const authority = port === 443 ? name : `${name}:${port}`;
  const owner = port === 443 ? name : `_${port}._https.${name}`;
  return html`<h2>With ECH</h2>
<p>A curl that lists ECH under <code>curl --version</code>:</p>
<pre>curl --ech ecl:${configList} \\
  --cacert ${quoted(rootFor(facts, parts))} \\
  https://${authority}/</pre>
<p>Browsers take the key from the name's HTTPS record, asked over HTTPS (DoH):</p>
<pre>${owner}. HTTPS 1 ${
    port === 443 ? "." : `${name}.`
  } alpn="http/1.1" ech="${configList}"</pre>`;
}

/** Where files lie here is of no use, and no business, to anybody else. */
function rootFor(facts: ConnectionFacts, parts: WelcomeParts): string {
  return /^(::ffff:)?127\.|^::1$/.test(facts.remoteAddress) ? parts.root : "root.pem";
}

/** For a shell. */
function quoted(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}

const STYLE = `
:root { color-scheme: light dark; font: 17px/1.55 system-ui, sans-serif; }
body { margin: 0; }
main { max-width: 46rem; margin: 0 auto; padding: 2.5rem 1.25rem; }
h1 { font-size: 2.2rem; line-height: 1.1; margin: 0 0 1rem; }
h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; }
.verdict { padding: .9rem 1.1rem; border-left: .35rem solid; margin: 0; }
.good { border-color: #2f9e5b; background: #2f9e5b1f; }
.plain { border-color: #b5852b; background: #b5852b1f; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .4rem 0; border-bottom: 1px solid #8883; }
th { font-weight: 400; opacity: .7; width: 13rem; padding-right: 1rem; }
td { overflow-wrap: anywhere; }
pre { overflow-x: auto; padding: .9rem 1.1rem; background: #8881; border-radius: .4rem; }
code, pre { font: .85rem/1.5 ui-monospace, monospace; }
@media (max-width: 34rem) { th { width: 8rem; } }
`;
