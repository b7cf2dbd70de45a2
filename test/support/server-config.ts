/**
 * A server for tests: its configuration, one site, fresh certificates and ECH keys.
 * @module
 */
import { chooseCrypto } from "../../src/crypto/choose.ts";
import type { Crypto } from "../../src/crypto/crypto.ts";
import type { ClientAuth, ServerConfig, SiteConfig } from "../../src/tls/config.ts";
import { ServerCredential } from "../../src/tls/credential.ts";
import { type EchKey, echKey, EchKeySet } from "../../src/tls/ech.ts";
import { DEFAULT_LIMITS, type Limits } from "../../src/tls/limits.ts";
import { schemeCode } from "../../src/tls/suites.ts";
import { freshTicketKey, TicketKeys } from "../../src/tls/tickets.ts";
import { CipherSuite, NamedGroup } from "../../src/tls/wire/code-points.ts";
import { encodeEchConfig, encodeEchConfigList } from "../../src/tls/wire/ech-config.ts";
import { compress, decompress } from "../../src/client/compression.ts";
import { readLeafKey } from "../../src/x509/leaf-key.ts";
import { type KeyKind, type TestCertificate, testCertificate, testRoot } from "./certificates.ts";

/** When tests begin, unless they say otherwise: the hour of the process, so that certificates are valid. */
export const START_MS: number = Date.now();

export const testCrypto: Crypto = chooseCrypto();

export interface TestServerOptions {
  /** One credential per kind, in this order. Default P-256 alone. */
  readonly credentials?: readonly KeyKind[];
  /** In every certificate. Default a.example, b.example, *.wild.example and the public name. */
  readonly names?: readonly string[];
  /** True: one X25519 key, config_id 7, "public.example". */
  readonly ech?: boolean | TestEchOptions | readonly TestEchKey[];
  readonly echState?: "active" | "withdrawing";
  /** Default true. */
  readonly tickets?: boolean;
  readonly clientAuth?: ClientAuth["mode"] | ClientAuth;
  readonly alpn?: readonly string[];
  readonly groups?: readonly NamedGroup[];
  readonly suites?: readonly CipherSuite[];
  readonly limits?: Partial<Limits>;
  /** Algorithms to compress by and to take from clients. */
  readonly compression?: readonly number[];
  /** The key is elsewhere: `needSignature` is called. */
  readonly slowSigner?: boolean;
  readonly ocspResponse?: Uint8Array;
  readonly scts?: Uint8Array;
  readonly server?: Partial<ServerConfig>;
  readonly site?: Partial<SiteConfig>;
}

export interface TestServer {
  readonly config: ServerConfig;
  readonly site: SiteConfig;
  readonly certificates: readonly TestCertificate[];
  /** PEM, for the client's `roots`. */
  readonly roots: readonly string[];
  /** The ECHConfigList that DNS would have; undefined without ECH. */
  readonly configList: Uint8Array | undefined;
}

export async function testServer(options: TestServerOptions = {}): Promise<TestServer> {
  const keys = echKeysOf(options.ech);
  const names = options.names ??
    [
      "a.example",
      "b.example",
      "*.wild.example",
      keys?.[0]?.key.config.publicName ?? "public.example",
    ];
  const certificates = await Promise.all(
    (options.credentials ?? ["p256"]).map((kind) => testCertificate({ kind, names })),
  );
  const { clientAuth, compression = [] } = options;
  const groups = options.groups ??
    [NamedGroup.x25519, NamedGroup.secp256r1, NamedGroup.secp384r1];
  const ticketKey = freshTicketKey(testCrypto, START_MS);
  const config: ServerConfig = {
    crypto: testCrypto,
    limits: { ...DEFAULT_LIMITS, ...options.limits },
    suites: options.suites ?? [
      CipherSuite.TLS_AES_128_GCM_SHA256,
      CipherSuite.TLS_AES_256_GCM_SHA384,
      CipherSuite.TLS_CHACHA20_POLY1305_SHA256,
    ],
    ech: keys && new EchKeySet(keys.map(({ key }) => key), options.echState ?? "active"),
    tickets: options.tickets === false ? undefined : new TicketKeys(testCrypto, [ticketKey], 86400),
    flightPadding: 0,
    groups,
    readCertificate: readLeafKey,
    compress: new Map(compression.map((id) => [id, (body: Uint8Array) => compress(id, body)])),
    decompress: new Map(
      compression.map((
        id,
      ) => [id, (data: Uint8Array, limit: number) => decompress(id, data, limit)]),
    ),
    strictOuterSni: false,
    greaseHelloRetry: false,
    keepExporterSecret: true,
    keyLog: undefined,
    ...options.server,
  };
  const site: SiteConfig = {
    policyId: 1,
    credentials: certificates.map((certificate) => testCredential(certificate, options)),
    alpn: options.alpn,
    groups,
    clientAuth: typeof clientAuth === "string" ? { mode: clientAuth, authorities: [] } : clientAuth,
    tickets: clientAuth === undefined,
    ...options.site,
  };
  return {
    config,
    site,
    certificates,
    roots: [(await testRoot()).pem],
    configList: keys && testConfigList(keys),
  };
}

export function testCredential(
  certificate: TestCertificate,
  options: Pick<TestServerOptions, "slowSigner" | "ocspResponse" | "scts"> = {},
): ServerCredential {
  const key = testCrypto.signingKey(certificate.keyPem);
  const names = new Map(key.schemes.map((name) => [schemeCode(name), name]));
  return new ServerCredential({
    id: certificate.kind,
    chain: certificate.chain,
    schemes: [...names.keys()],
    sign: options.slowSigner
      ? undefined
      : (scheme, content) => key.sign(names.get(scheme)!, content),
    notAfterMs: certificate.notAfterMs,
    ...(options.ocspResponse && { ocspResponse: options.ocspResponse }),
    ...(options.scts && { scts: options.scts }),
  });
}

export interface TestEchOptions {
  readonly configId?: number;
  readonly publicName?: string;
  /** 0x0020 X25519, 0x0010 P-256. */
  readonly kemId?: number;
  readonly suites?: readonly { readonly kdfId: number; readonly aeadId: number }[];
  readonly maximumNameLength?: number;
  readonly extensions?: readonly { readonly type: number; readonly data: Uint8Array }[];
  readonly retry?: boolean;
}

export interface TestEchKey {
  readonly key: EchKey;
  readonly privateKey: Uint8Array;
  /** One ECHConfig. */
  readonly config: Uint8Array;
  /** With this config alone. */
  readonly configList: Uint8Array;
}

/** A fresh ECH key and its config. */
export function testEchKey(options: TestEchOptions = {}): TestEchKey {
  const { kemId = 0x0020, retry = true } = options;
  const { privateKey, publicKey } = testCrypto.hpkeKeyPair(kemId);
  const config = encodeEchConfig({
    configId: options.configId ?? 7,
    kemId,
    publicKey,
    suites: options.suites ??
      [{ kdfId: 1, aeadId: 1 }, { kdfId: 1, aeadId: 3 }],
    maximumNameLength: options.maximumNameLength ?? 32,
    publicName: options.publicName ?? "public.example",
    extensions: options.extensions ?? [],
  });
  const key = echKey(testCrypto, { privateKey, config, retry });
  return { key, privateKey, config, configList: encodeEchConfigList([config]) };
}

/** An ECHConfigList of several. */
export function testConfigList(keys: readonly TestEchKey[]): Uint8Array {
  return encodeEchConfigList(keys.map(({ config }) => config));
}

function echKeysOf(ech: TestServerOptions["ech"]): readonly TestEchKey[] | undefined {
  if (ech === undefined || ech === false) return undefined;
  if (ech === true) return [testEchKey()];
  return Array.isArray(ech) ? ech as readonly TestEchKey[] : [testEchKey(ech as TestEchOptions)];
}
