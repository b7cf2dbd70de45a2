/**
 * ECHConfigLists that the server does not hold the key of.
 * @module
 */
import { generateKeyPairSync } from "node:crypto";

/** ECHConfigList length (2), version (2), length (2), config_id (1), kem_id (2), public key length (2). */
const CONFIG_ID_AT = 6;
const PUBLIC_KEY_AT = 11;
const PUBLIC_KEY_LENGTH = 32;

/**
 * What a client holds that learnt a key which has since been replaced.
 *
 * @param current base64 of the server's list
 * @param sameId true: it kept its config_id, so that the server tries its own key and fails
 */
export function staleConfigList(current: string, sameId: boolean = false): string {
  const list = Buffer.from(current, "base64");
  const { publicKey } = generateKeyPairSync("x25519");
  const raw = Buffer.from(publicKey.export({ format: "jwk" }).x ?? "", "base64url");
  if (raw.length !== PUBLIC_KEY_LENGTH) throw new Error("X25519 keys have 32 bytes");
  raw.copy(list, PUBLIC_KEY_AT);
  if (!sameId) list[CONFIG_ID_AT]! ^= 0xff;
  return list.toString("base64");
}
