/**
 * The shares of a ClientHello's key_share (RFC 9846 §4.3.8), whose syntax has been checked, where they stand:
 * `bytes[at, end)` is the list without its length.
 *
 *     struct { NamedGroup group; opaque key_exchange<1..2^16-1>; } KeyShareEntry;
 *
 * @module
 */
import { TlsError } from "../error.ts";
import { hasCode, hasRepeatedCode, mark, part, u16At, unmark, unmarkCodes } from "./vectors.ts";

/** The key_exchange of the first share of a group: a copy, or a view where it is long. */
export function findKeyShare(
  bytes: Uint8Array,
  at: number,
  end: number,
  group: number,
): Uint8Array | undefined {
  while (at < end) {
    const next = at + 4 + u16At(bytes, at + 2);
    if (u16At(bytes, at) === group) return part(bytes, at + 4, next);
    at = next;
  }
  return undefined;
}

export function hasKeyShare(
  bytes: Uint8Array,
  at: number,
  end: number,
  group: number,
): boolean {
  while (at < end) {
    if (u16At(bytes, at) === group) return true;
    at += 4 + u16At(bytes, at + 2);
  }
  return false;
}

export function countKeyShares(bytes: Uint8Array, at: number, end: number): number {
  let count = 0;
  for (; at < end; at += 4 + u16At(bytes, at + 2)) count++;
  return count;
}

/**
 * That no group is listed twice, none has two shares, and each share's is listed in `bytes[groupsAt, groupsEnd)`.
 *
 * @throws {TlsError} "duplicate group", "duplicate key share", "key share for an unlisted group"
 */
export function checkShares(
  bytes: Uint8Array,
  groupsAt: number,
  groupsEnd: number,
  at: number,
  end: number,
): void {
  if (hasRepeatedCode(bytes, groupsAt, groupsEnd)) throw new TlsError("duplicate group");
  for (let group = groupsAt; group < groupsEnd; group += 2) mark(u16At(bytes, group));
  while (at < end && unmark(u16At(bytes, at))) at += 4 + u16At(bytes, at + 2);
  unmarkCodes(bytes, groupsAt, groupsEnd);
  if (at === end) return;
  throw new TlsError(
    hasCode(bytes, groupsAt, groupsEnd, u16At(bytes, at))
      ? "duplicate key share"
      : "key share for an unlisted group",
  );
}
