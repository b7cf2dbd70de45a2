/**
 * Where a client's bytes go and come from.
 * @module
 */
export interface Transport {
  /** `bytes` are the transport's to keep. */
  write(bytes: Uint8Array): void | Promise<void>;
  /** The next bytes, the caller's to keep; undefined at the peer's FIN. Rejects on a reset. */
  read(): Promise<Uint8Array | undefined>;
  close(): void;
}
