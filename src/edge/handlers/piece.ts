/**
 * How much of what is long is sealed and written at once: one slow reader holds no more, and beyond it a byte costs no less.
 * @module
 */
import { RECORD_HEADER_LENGTH, TAG_LENGTH } from "../../tls/record.ts";

/** What one segment carries where it is largest, on loopback: for a few bytes more the kernel sends another one. */
export const SEGMENT_BYTES = 65_483;

/** Sealed it is one segment, of four records. */
export const PIECE_BYTES: number = SEGMENT_BYTES - 4 * (RECORD_HEADER_LENGTH + 1 + TAG_LENGTH);
