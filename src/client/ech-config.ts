/**
 * Choosing an ECHConfig (RFC 9849 §4, §6.1, §6.1.7).
 * @module
 */
import { decodeEchConfigList, type EchConfig, isPublicName } from "../tls/wire/ech-config.ts";
import { refuse } from "./error.ts";

export interface ChosenConfig {
  readonly config: EchConfig;
  readonly kdfId: number;
  readonly aeadId: number;
}

/** DHKEM(X25519, HKDF-SHA256) and DHKEM(P-256, HKDF-SHA256). */
const KEMS: readonly number[] = [0x0020, 0x0010];
const KDFS: readonly number[] = [0x0001, 0x0002, 0x0003];
const AEADS: readonly number[] = [0x0001, 0x0002, 0x0003];

/** The first config of the list that can be used; undefined: none. @throws {TlsError} the list does not parse */
export function chooseEchConfig(
  list: Uint8Array,
  preferred?: { readonly kdfId: number; readonly aeadId: number },
): ChosenConfig | undefined {
  for (const config of decodeEchConfigList(list)) {
    if (!KEMS.includes(config.kemId) || config.hasUnknownMandatory) continue;
    if (!isPublicName(config.publicName)) continue;
    const usable = config.suites.filter(({ kdfId, aeadId }) =>
      KDFS.includes(kdfId) && AEADS.includes(aeadId)
    );
    const suite = usable.find(({ kdfId, aeadId }) =>
      kdfId === preferred?.kdfId && aeadId === preferred.aeadId
    ) ?? usable[0];
    if (suite !== undefined) {
      return { config, kdfId: suite.kdfId, aeadId: suite.aeadId };
    }
  }
  return undefined;
}

/** As `chooseEchConfig`, for the list of DNS: what is wrong with it is nobody's alert. */
export function echConfigFromDns(
  list: Uint8Array,
  preferred?: { readonly kdfId: number; readonly aeadId: number },
): ChosenConfig {
  let chosen: ChosenConfig | undefined;
  try {
    chosen = chooseEchConfig(list, preferred);
  } catch (cause) {
    refuse("bad ECHConfigList", { cause });
  }
  return chosen ?? refuse("no ECH config to use");
}
