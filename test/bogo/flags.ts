/**
 * The flags that BoGo's runner gives to a shim, as far as a TLS 1.3 server of ours has something to do for them.
 * @module
 */
import { Buffer } from "node:buffer";

/** The runner counts it as "unimplemented", neither passed nor failed. */
export class Unimplemented extends Error {
  override readonly name = "Unimplemented";
}

/** Flags of one connection, or of one credential: each with its values in the order in which they came. */
export class Flags {
  readonly #values = new Map<string, string[]>();

  add(flag: string, value: string): void {
    const values = this.#values.get(flag);
    if (values === undefined) this.#values.set(flag, [value]);
    else values.push(value);
  }

  has(flag: string): boolean {
    return this.#values.has(flag);
  }

  texts(flag: string): readonly string[] {
    return this.#values.get(flag) ?? [];
  }

  /** The last one counts, as in a command line. */
  text(flag: string): string | undefined {
    return this.texts(flag).at(-1);
  }

  numbers(flag: string): readonly number[] {
    return this.texts(flag).map(Number);
  }

  number(flag: string): number | undefined {
    return this.numbers(flag).at(-1);
  }

  bytesOf(flag: string): readonly Uint8Array[] {
    return this.texts(flag).map((text) => new Uint8Array(Buffer.from(text, "base64")));
  }

  bytes(flag: string): Uint8Array | undefined {
    return this.bytesOf(flag).at(-1);
  }
}

/** What is wanted of one connection. */
export interface Wanted {
  readonly flags: Flags;
  /** Credentials in their order of preference; a certificate given outside them is in `flags`. */
  readonly credentials: Flags[];
}

/**
 * Divides a command line by the connection that it is for: the first one, or those after it.
 *
 * @throws {Unimplemented} a flag that is not known here
 */
export function readFlags(args: readonly string[]): { initial: Wanted; resumed: Wanted } {
  const initial: Wanted = { flags: new Flags(), credentials: [] };
  const resumed: Wanted = { flags: new Flags(), credentials: [] };
  for (let i = 0; i < args.length; i++) {
    const [, elsewhere, connection, name] = PREFIXED.exec(args[i]!)!;
    const flag = `-${name}`;
    const takesValue = VALUED.has(flag);
    if (!takesValue && !PLAIN.has(flag)) throw new Unimplemented(flag);
    const value = takesValue ? args[++i] ?? "" : "";
    if (elsewhere === "-on-handshaker" || connection === "-on-retry") continue;
    if (connection !== "-on-resume") addFlag(initial, flag, value);
    if (connection !== "-on-initial") addFlag(resumed, flag, value);
  }
  return { initial, resumed };
}

function addFlag(wanted: Wanted, flag: string, value: string): void {
  if (flag === "-new-x509-credential") {
    wanted.credentials.push(new Flags());
    return;
  }
  const credential = OF_CREDENTIAL.has(flag) ? wanted.credentials.at(-1) : undefined;
  (credential ?? wanted.flags).add(flag, value);
}

const PREFIXED = /^(-on-shim|-on-handshaker)?(-on-initial|-on-resume|-on-retry)?-(.*)$/s;

const OF_CREDENTIAL: ReadonlySet<string> = new Set([
  "-cert-file",
  "-key-file",
  "-signing-prefs",
  "-ocsp-response",
  "-signed-cert-timestamps",
]);

/** Not the runner's: for its `-shim-extra-flags`. */
const OURS = [
  "-crypto", // a provider: "native", "noble"
  "-flight-padding", // bytes
];

const VALUED: ReadonlySet<string> = new Set([
  ...OF_CREDENTIAL,
  ...OURS,
  "-curves",
  "-advertise-npn", // of TLS 1.2, and so on: nothing in our answer may depend on it
  "-ech-is-retry-config",
  "-ech-server-config",
  "-ech-server-key",
  "-expect-advertised-alpn",
  "-expect-cipher-aes",
  "-expect-cipher-no-aes",
  "-expect-curve-id",
  "-expect-early-data-reason",
  "-expect-peer-cert-file",
  "-expect-peer-signature-algorithm",
  "-expect-selected-credential",
  "-expect-server-name",
  "-install-one-cert-compression-alg",
  "-max-version",
  "-min-version",
  "-port",
  "-quic-use-legacy-codepoint",
  "-resume-count",
  "-select-alpn",
  "-shim-id",
  "-srtp-profiles",
  "-trust-cert",
  "-use-client-ca-list",
  "-verify-prefs",
]);

const PLAIN: ReadonlySet<string> = new Set([
  "-async",
  "-decline-alpn",
  "-decline-ocsp-callback",
  "-enable-early-data", // it is refused all the same
  "-enable-ocsp-stapling",
  "-expect-ech-accept",
  "-expect-extended-master-secret",
  "-expect-hrr",
  "-expect-no-session-id",
  "-expect-reject-early-data",
  "-expect-session-miss",
  "-expect-verify-result",
  "-fail-cert-callback",
  "-fail-ddos-callback",
  "-implicit-handshake",
  "-install-cert-compression-algs",
  "-install-ddos-callback",
  "-ipv6",
  "-key-update",
  "-new-x509-credential",
  "-no-op-extra-handshake",
  "-no-ticket",
  "-no-tls1",
  "-no-tls11",
  "-no-tls12",
  "-reject-alpn",
  "-renew-ticket",
  "-require-any-client-certificate",
  "-retain-only-sha256-client-cert",
  "-server",
  "-server-preference",
  "-set-ocsp-in-callback",
  "-skip-ticket",
  "-use-custom-verify-callback",
  "-use-early-callback",
  "-use-ocsp-callback",
  "-use-ticket-aead-callback",
  "-use-ticket-callback",
  "-verify-fail",
  "-verify-peer",
]);
