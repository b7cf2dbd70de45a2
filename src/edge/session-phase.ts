/**
 * Where a session stands.
 *
 *     Silent ─► Handshake ◄─► Held            the peer owes a ClientHello; the handshake; our side owes an answer
 *                   ▼
 *                 Fresh ─► Open               tickets not sent yet; traffic
 *                   ▼        ▼
 *               Lingering ─► Closing ─► Gone  our last word is said; the rest of theirs is discarded; closed
 *                        any ─► Cut ─► Gone  at once
 *
 * @module
 */
export const Phase = {
  Silent: 0,
  Handshake: 1,
  Held: 2,
  Fresh: 3,
  Open: 4,
  Lingering: 5,
  Closing: 6,
  Cut: 7,
  Gone: 8,
} as const;
export type Phase = (typeof Phase)[keyof typeof Phase];

/** What else is so, a bit each: ten fields would be 64 bytes more of each idle connection. */
export const Flag = {
  Receiving: 1,
  SocketPaused: 2,
  HandlerPaused: 4,
  HandlerWaits: 8,
  /** close_notify came, or FIN. */
  PeerEnded: 16,
  FinCame: 32,
  /** close_notify went; the peer's data still comes … */
  WeEndedWrite: 64,
  FinSent: 128,
  /** … and now it does not. */
  WeEnded: 256,
  /** The last bytes came from the peer: it may wait for an answer. */
  AnswerDue: 512,
} as const;
