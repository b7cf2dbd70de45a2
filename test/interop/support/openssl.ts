/**
 * `openssl s_client`, and what it says.
 * @module
 */
import { type Finished, run, words } from "./run.ts";

export interface OpensslOptions {
  readonly port: number;
  readonly name: string;
  readonly caFile: string;
  readonly args?: readonly string[];
  /** Default: one request that ends the connection. */
  readonly input?: string;
}

export interface OpensslResult extends Finished {
  readonly cipherSuite: string | undefined;
  /** The group, as OpenSSL calls it. */
  readonly group: string | undefined;
  readonly signature: string | undefined;
  readonly resumed: boolean;
  readonly alpn: string | undefined;
  readonly verified: boolean;
  /** The number of the fatal alert that it got. */
  readonly alert: number | undefined;
  readonly retried: boolean;
  /** The site's greeting: the response stands among what s_client says itself. */
  readonly body: string | undefined;
}

export async function sClient(options: OpensslOptions): Promise<OpensslResult> {
  const { port, name, caFile, args = [] } = options;
  const finished = await run(
    "openssl",
    words`s_client -connect 127.0.0.1:${port} -servername ${name}
    -CAfile ${caFile} -verify_hostname ${name} -tls1_3 -msg -nocommands -ign_eof
    ${args}`,
    { input: options.input ?? requestOf(name), timeoutMs: 20_000 },
  );
  const text = finished.stdout;
  const find = (pattern: RegExp) => pattern.exec(text)?.[1];
  const alert = /alert number (\d+)/.exec(finished.stderr)?.[1];
  return {
    ...finished,
    cipherSuite: find(/(?:New|Reused), TLSv1\.3, Cipher is (\S+)/),
    group: find(/Server Temp Key: (?:ECDH, )?([^,\n]+)/),
    signature: [find(/Peer signature type: (\S+)/), find(/Peer signing digest: (\S+)/)]
      .filter((part) => part !== undefined).join(" "),
    resumed: /^Reused, TLSv1\.3/m.test(text),
    alpn: find(/ALPN protocol: (\S+)/),
    verified: /Verify return code: 0 \(ok\)/.test(text),
    alert: alert === undefined ? undefined : Number(alert),
    retried:
      text.match(/>>> TLS 1\.[0-3], Handshake \[length [0-9a-f]+\], ClientHello/g)?.length === 2,
    body: find(/(hello from \S+?!)/),
  };
}

export function requestOf(name: string): string {
  return `GET / HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n\r\n`;
}
