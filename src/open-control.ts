/**
 * The control plane as the program starts it, whoever serves: the one process, or workers.
 * @module
 */
import { join } from "node:path";
import process from "node:process";

import type { Config } from "./config/config.ts";
import { type ControlPlane, startControlPlane } from "./control/control-plane.ts";
import type { EchKeySet } from "./tls/ech.ts";
import { publishedConfigList } from "./control/ech/ech-keys.ts";
import type { SnapshotFile } from "./control/snapshot-file.ts";
import { openFileStorage } from "./control/storage/files.ts";
import { chooseCrypto, isProviderName, PROVIDER_NAMES } from "./crypto/choose.ts";
import type { Crypto } from "./crypto/crypto.ts";
import { openIpsecMb } from "./crypto/ipsec-mb.ts";
import { openOpenssl } from "./crypto/openssl.ts";
import type { Snapshot } from "./snapshot/snapshot.ts";
import type { StartOptions } from "./start.ts";

/** @throws {StorageError | EchKeyError | X509Error} whose message says what is wrong and where */
export async function openControl(
  { config, dataFolder, keyLog, log, onNewRoot }: Pick<
    StartOptions,
    "config" | "dataFolder" | "log" | "keyLog" | "onNewRoot"
  >,
  crypto: Crypto,
  file: SnapshotFile,
): Promise<{ readonly control: ControlPlane; readonly warnings: readonly string[] }> {
  let warnings: readonly string[] = [];
  const control = await startControlPlane({
    config,
    async openStorage() {
      const storage = await openFileStorage(dataFolder);
      warnings = storage.warnings;
      return storage;
    },
    file,
    crypto,
    keyLog,
    now: Date.now,
    onWarning: (what) => log.event("warn", "warning", { what }),
    onNewRoot: (storageKey) => onNewRoot?.(join(dataFolder, storageKey)),
    onProgress: (done, total) => {
      const what = `building ${count(total)} sites: ${count(done)} …`;
      log.event("info", "progress", { what });
    },
    onTrouble: (error) => log.event("error", "snapshot_failed", { err: messageOf(error) }),
  });
  return { control, warnings: [...warnings, ...control.warnings] };
}

/**
 * As SOTTO_CRYPTO, SOTTO_OPENSSL and SOTTO_IPSEC_MB force it, else the configuration, else the best.
 *
 * @throws {RangeError} there is no such provider here; whose message says why
 */
export function cryptoOfProcess(
  config: Partial<Pick<Config, "cryptoProvider" | "openssl" | "ipsecMb">> = {},
): Crypto {
  const force = variable("SOTTO_CRYPTO") || config.cryptoProvider;
  if (force !== undefined && !isProviderName(force)) {
    const accepted = PROVIDER_NAMES.join(", ");
    throw new RangeError(`SOTTO_CRYPTO=${force} is unknown, accepted: ${accepted}`);
  }
  const openssl = force === undefined || force === "openssl"
    ? library(variable("SOTTO_OPENSSL") || config.openssl, openOpenssl)
    : null;
  const ipsecMb = force === undefined
    ? library(variable("SOTTO_IPSEC_MB") || config.ipsecMb, openIpsecMb)
    : null;
  return chooseCrypto({
    ...(force === undefined ? {} : { force }),
    ...(openssl === undefined ? {} : { openssl }),
    ...(ipsecMb === undefined ? {} : { ipsecMb }),
  });
}

/** Undefined where Deno does not allow to read it: else it would ask, or fail. */
function variable(name: string): string | undefined {
  const { Deno } = globalThis as { readonly Deno?: DenoPermissions };
  const state = Deno?.permissions.querySync({ name: "env", variable: name }).state;
  return state === undefined || state === "granted" ? process.env[name] : undefined;
}

interface DenoPermissions {
  readonly permissions: {
    querySync(what: { readonly name: "env"; readonly variable: string }): {
      readonly state: string;
    };
  };
}

/** Null: none is to be called. Undefined: the system's, if there is one. */
function library<T>(
  file: string | false | undefined,
  open: (file: string) => T,
): T | null | undefined {
  if (file === undefined) return undefined;
  return file === false || file === "off" ? null : open(file);
}

/** For processes that choose before they hear of a configuration. */
export function passCryptoOn({ cryptoProvider, openssl, ipsecMb }: Config): void {
  if (cryptoProvider !== undefined) process.env.SOTTO_CRYPTO ||= cryptoProvider;
  if (openssl !== undefined) process.env.SOTTO_OPENSSL ||= openssl || "off";
  if (ipsecMb !== undefined) process.env.SOTTO_IPSEC_MB ||= ipsecMb || "off";
}

/** What visitors' clients have to know. Undefined: ECH is off. `configList` in base64. */
export function publishedEch(
  { ech }: Pick<Config, "ech">,
  keys: EchKeySet | undefined,
): { readonly publicName: string; readonly configList: string } | undefined {
  const configList = keys && publishedConfigList(keys);
  return configList === undefined ? undefined : { publicName: ech.publicName, configList };
}

/** Without one nobody learns of new ECH keys (policy §8.3). */
export function hasPublicNameCertificate(
  { ech }: Pick<Config, "ech">,
  snapshot: Snapshot,
): boolean {
  if (!ech.enabled) return true;
  const credentials = snapshot.findText(ech.publicName)?.tls.credentials ?? [];
  return credentials.some(({ notAfterMs }) => notAfterMs > Date.now());
}

function count(value: number): string {
  return value.toLocaleString("en-US");
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
