/**
 * When the local CA's certificates are renewed (acme §12.2).
 * @module
 */
import type { Certificate } from "../../x509/certificate.ts";

export type Validity = Pick<Certificate, "notBeforeMs" | "notAfterMs">;

/** Less than a fifth of its life is left, or it has not begun (the clock was set back). */
export function needsRenewal(validity: Validity, nowMs: number): boolean {
  return nowMs < validity.notBeforeMs || nowMs > renewalTimeMs(validity);
}

/** The last moment at which it is not yet due. */
export function renewalTimeMs({ notBeforeMs, notAfterMs }: Validity): number {
  return notAfterMs - 0.2 * (notAfterMs - notBeforeMs);
}

export function isValidAt({ notBeforeMs, notAfterMs }: Validity, nowMs: number): boolean {
  return notBeforeMs <= nowMs && nowMs < notAfterMs;
}

/** How often the control plane looks. */
export const LOOK_EVERY_MS = 600_000;
