/**
 * SSLKEYLOGFILE lines (RFC 9850). Nothing is computed unless the configuration asks for it.
 * @module
 */
import type { ApplicationSecrets, HandshakeSecrets } from "../crypto/crypto.ts";
import type { EchSession } from "./ech.ts";

type KeyLog = ((line: string) => void) | undefined;

/** `random`: the client's, of the inner hello if ECH was accepted. */
export function logHandshake(log: KeyLog, random: Uint8Array, secrets: HandshakeSecrets): void {
  if (log === undefined) return;
  log(line("CLIENT_HANDSHAKE_TRAFFIC_SECRET", random, secrets.clientTraffic));
  log(line("SERVER_HANDSHAKE_TRAFFIC_SECRET", random, secrets.serverTraffic));
}

export function logApplication(log: KeyLog, random: Uint8Array, secrets: ApplicationSecrets): void {
  if (log === undefined) return;
  log(line("CLIENT_TRAFFIC_SECRET_0", random, secrets.clientTraffic));
  log(line("SERVER_TRAFFIC_SECRET_0", random, secrets.serverTraffic));
  log(line("EXPORTER_SECRET", random, secrets.exporter));
}

/** Always with the outer hello's random, whatever the other labels use. */
export function logEch(log: KeyLog, session: EchSession): void {
  if (log === undefined) return;
  log(line("ECH_SECRET", session.outerRandom, session.context.sharedSecret));
  log(line("ECH_CONFIG", session.outerRandom, session.key.config.raw));
}

function line(label: string, random: Uint8Array, value: Uint8Array): string {
  return `${label} ${hex(random)} ${hex(value)}`;
}

function hex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}
