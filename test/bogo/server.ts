/**
 * From flags to what a connection of ours is given.
 * @module
 */
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { chooseCrypto, type ProviderName } from "../../src/crypto/choose.ts";
import type { Crypto } from "../../src/crypto/crypto.ts";
import type { ClientAuth, ServerConfig, SiteConfig } from "../../src/tls/config.ts";
import { ServerCredential } from "../../src/tls/credential.ts";
import { echKey, EchKeySet } from "../../src/tls/ech.ts";
import { DEFAULT_LIMITS } from "../../src/tls/limits.ts";
import { GROUP_NAMES, schemeCode } from "../../src/tls/suites.ts";
import { freshTicketKey, TicketKeys } from "../../src/tls/tickets.ts";
import { CipherSuite, NamedGroup } from "../../src/tls/wire/code-points.ts";
import { readLeafKey } from "../../src/x509/leaf-key.ts";
import { decodePem } from "../../src/x509/pem.ts";
import { type Flags, Unimplemented, type Wanted } from "./flags.ts";

const crypto = chooseCrypto();

/** One for all connections of a process: later ones resume what earlier ones were. */
const ticketKeys = new TicketKeys(crypto, [freshTicketKey(crypto, Date.now())], 86400);

/** What our own answers do not say, and the runner asks for. */
export class Observed {
  /** Index of the credential that signed; the one outside the list is -1. */
  credential = -1;
  /** What the client signed with. */
  clientScheme: number | undefined;
}

export interface Server {
  readonly config: ServerConfig;
  readonly site: SiteConfig;
  readonly observed: Observed;
  /** By id: keys that are asked for a signature and answer later (`-async`). */
  readonly slowKeys: ReadonlyMap<string, (scheme: number, content: Uint8Array) => Uint8Array>;
}

export function serverOf(wanted: Wanted): Server {
  const { flags } = wanted;
  const observed = new Observed();
  const slowKeys = new Map<string, (scheme: number, content: Uint8Array) => Uint8Array>();
  const groups = flags.has("-curves")
    ? flags.numbers("-curves").filter(isOurGroup)
    : [NamedGroup.X25519MLKEM768, NamedGroup.x25519, NamedGroup.secp256r1, NamedGroup.secp384r1];
  const { compress, decompress } = compressionOf(flags);
  const config: ServerConfig = {
    crypto: watched(observed, flags.text("-crypto") as ProviderName | undefined),
    limits: {
      ...DEFAULT_LIMITS,
      rekeyAfterRecords: flags.has("-key-update") ? 0 : DEFAULT_LIMITS.rekeyAfterRecords,
    },
    suites: [
      CipherSuite.TLS_AES_128_GCM_SHA256,
      CipherSuite.TLS_AES_256_GCM_SHA384,
      // No KeyUpdate of ours ever comes under ChaCha20.
      ...(flags.has("-key-update") ? [] : [CipherSuite.TLS_CHACHA20_POLY1305_SHA256]),
    ],
    groups,
    ech: echOf(flags),
    tickets: flags.has("-no-ticket") || flags.has("-skip-ticket") ? undefined : ticketKeys,
    flightPadding: flags.number("-flight-padding") ?? 0,
    compress,
    decompress,
    readCertificate: readLeafKey,
    strictOuterSni: false,
    greaseHelloRetry: false,
    keepExporterSecret: false,
    keyLog: undefined,
  };
  const clientAuth = clientAuthOf(flags);
  const site: SiteConfig = {
    policyId: clientAuth === undefined ? 1 : 2,
    credentials: credentialsOf(wanted, observed, slowKeys),
    alpn: flags.text("-select-alpn") && !flags.has("-decline-alpn")
      ? [flags.text("-select-alpn")!]
      : undefined,
    groups,
    clientAuth,
    tickets: clientAuth === undefined,
  };
  return { config, site, observed, slowKeys };
}

function isOurGroup(group: number): group is NamedGroup {
  return GROUP_NAMES.has(group);
}

function echOf(flags: Flags): EchKeySet | undefined {
  const configs = flags.bytesOf("-ech-server-config");
  const privateKeys = flags.bytesOf("-ech-server-key");
  const retry = flags.numbers("-ech-is-retry-config");
  if (configs.length === 0) return undefined;
  const keys = configs.map((config, i) =>
    echKey(crypto, { config, privateKey: privateKeys[i]!, retry: retry[i] === 1 })
  );
  return new EchKeySet(keys, "active");
}

function clientAuthOf(flags: Flags): ClientAuth | undefined {
  const required = flags.has("-require-any-client-certificate");
  if (!required && !flags.has("-verify-peer")) return undefined;
  const list = flags.text("-use-client-ca-list") ?? "<EMPTY>";
  return {
    mode: flags.has("-verify-peer") ? "verify_if_given" : "require_and_verify",
    authorities: list.startsWith("<")
      ? []
      : list.split(",").map((hex) => new Uint8Array(Buffer.from(hex, "hex"))),
  };
}

function credentialsOf(
  wanted: Wanted,
  observed: Observed,
  slowKeys: Map<string, (scheme: number, content: Uint8Array) => Uint8Array>,
): ServerCredential[] {
  const { flags, credentials } = wanted;
  const all = credentials.map((own, i) => ({ own, index: i }));
  if (flags.has("-cert-file")) all.push({ own: flags, index: -1 });
  return all.map(({ own, index }) => {
    const key = readKey(own.text("-key-file")!);
    const names = new Map(key.schemes.map((name) => [schemeCode(name), name]));
    const preferred = own.has("-signing-prefs") ? own.numbers("-signing-prefs") : [...names.keys()];
    const schemes = preferred.filter((scheme) => names.has(scheme));
    const sign = (scheme: number, content: Uint8Array): Uint8Array => {
      observed.credential = index;
      return key.sign(names.get(scheme)!, content);
    };
    const id = `credential ${index}`;
    slowKeys.set(id, sign);
    const ocspResponse = own.bytes("-ocsp-response");
    const scts = own.bytes("-signed-cert-timestamps");
    return new ServerCredential({
      id,
      chain: readChain(own.text("-cert-file")!),
      schemes: schemes.length > 0 ? schemes : [NO_SCHEME],
      sign: flags.has("-async") ? undefined : sign,
      ...(ocspResponse && !flags.has("-decline-ocsp-callback") && { ocspResponse }),
      ...(scts && { scts }),
      notAfterMs: Number.MAX_SAFE_INTEGER,
    });
  });
}

function readKey(file: string) {
  try {
    return crypto.signingKey(readFileSync(file, "utf8"));
  } catch (error) {
    if (error instanceof TypeError) throw new Unimplemented(error.message);
    throw error;
  }
}

export function readChain(file: string): Uint8Array[] {
  return decodePem(readFileSync(file, "utf8"))
    .filter((block) => block.label === "CERTIFICATE")
    .map((block) => block.der);
}

/** The made-up algorithms of BoGo's compression tests: they drop, add or vary bytes at the front. */
function compressionOf(flags: Flags): Pick<ServerConfig, "compress" | "decompress"> {
  const one = flags.number("-install-one-cert-compression-alg");
  const algorithms = flags.has("-install-cert-compression-algs")
    ? [DROPPING, ADDING, RANDOM]
    : one === undefined
    ? []
    : [one];
  return {
    compress: new Map(
      algorithms.map((algorithm) => [algorithm, (bytes) => front(algorithm, bytes)]),
    ),
    decompress: new Map(
      algorithms.map((algorithm) => [algorithm, (bytes) => withoutFront(algorithm, bytes)]),
    ),
  };
}

function front(algorithm: number, bytes: Uint8Array): Uint8Array {
  if (algorithm === DROPPING) return bytes.subarray(2);
  const added = algorithm === ADDING ? ADDED : randomBytes(1);
  return new Uint8Array(Buffer.concat([added, bytes]));
}

function withoutFront(algorithm: number, bytes: Uint8Array): Uint8Array {
  if (algorithm === DROPPING) return new Uint8Array(Buffer.concat([new Uint8Array(2), bytes]));
  if (algorithm === RANDOM) return bytes.subarray(1);
  if (!ADDED.every((byte, i) => byte === bytes[i])) throw new Error("not what ADDING made");
  return bytes.subarray(ADDED.length);
}

function watched(observed: Observed, provider: ProviderName | undefined): Crypto {
  const crypto = chooseCrypto(provider && { force: provider });
  const verify = crypto.verify.bind(crypto);
  crypto.verify = (scheme, spki, content, signature) => {
    observed.clientScheme = schemeCode(scheme);
    return verify(scheme, spki, content, signature);
  };
  return crypto;
}

const DROPPING = 0xff01;
const ADDING = 0xff02;
const RANDOM = 0xff03;
const ADDED = Uint8Array.of(1, 2, 3, 4);
/** No client lists it: a credential whose preferences leave nothing. */
const NO_SCHEME = 0xffff;
