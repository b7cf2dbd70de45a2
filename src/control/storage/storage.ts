/**
 * Where sotto keeps what must outlive the process: keys, certificates, schedules.
 *
 * One small interface for every backend; `test/control/storage/suite.ts` holds each of them to what is promised here.
 *
 * @module
 */

/**
 * Bytes under keys such as `pki/authorities/local/root.key`.
 *
 * What every backend guarantees:
 * - `put` is atomic: a reader, or a start after a crash at any moment, sees the old value or the new one, whole.
 * - `put` is durable: once its promise resolves the value survives a crash of the machine.
 * - A `get` that begins after a `put` resolved, in any process on the same store, sees that value or a later one.
 * - Of two puts at once one wins; there are no mixtures. Nothing here excludes others between a `get` and a `put`.
 * - `create` is a `put` of which at most one succeeds, whoever tries, in any process on the same store: so two that
 *   start at once on an empty store agree on what is kept. It never changes a value that is there.
 * - Values are secret: a backend shows them to nobody but its owner.
 * - Every method refuses a key that `checkKey` refuses, and rejects with a `StorageError`, nothing else.
 */
export interface Storage {
  /** The value, the caller's own; undefined if there is none. */
  get(key: string): Promise<Uint8Array | undefined>;

  /** Stores a copy of `value`; an older one is replaced. */
  put(key: string, value: Uint8Array): Promise<void>;

  /** Stores a copy of `value` if there is none yet. False: there is one, and it stays. */
  create(key: string, value: Uint8Array): Promise<boolean>;

  /** Nothing happens if there is no such key. Durable like `put`. */
  delete(key: string): Promise<void>;

  /** All keys below `prefix` (whole segments: `a` lists `a/b`, not `ab`), sorted; `""` lists all. */
  list(prefix: string): Promise<string[]>;

  /** For messages to people: "files in /var/lib/sotto". */
  readonly description: string;
}

export type StorageTrouble =
  | "bad key"
  | "key is a folder"
  | "permission denied"
  | "full"
  | "read-only"
  | "exposed"
  | "failed";

/** The store's trouble, not a peer's. Its message names the place and says what to do. */
export class StorageError extends Error {
  override readonly name = "StorageError";
  readonly trouble: StorageTrouble;

  constructor(trouble: StorageTrouble, message: string, options?: ErrorOptions) {
    super(message, options);
    this.trouble = trouble;
  }
}

/**
 * Keys are segments of `[A-Za-z0-9_@.-]`, 1 to 255 characters each, joined by `/`; no segment is `.` or `..`.
 * So no key leaves its store, whatever a backend makes of it.
 *
 * @throws {StorageError} "bad key"
 */
export function checkKey(key: string): void {
  for (const segment of key.split("/")) {
    if (!SEGMENT.test(segment) || segment === "." || segment === "..") {
      throw new StorageError("bad key", `Cannot use ${JSON.stringify(key)} as a storage key`);
    }
  }
}

const SEGMENT = /^[A-Za-z0-9_@.-]{1,255}$/;

/**
 * One segment of a key for a name that may hold anything: `*.Example.com` becomes `wildcard_.example.com` (acme §14.9:
 * the same rules as Caddy's, so that paths map one to one).
 */
export function safeSegment(name: string): string {
  return name.toLowerCase().trim()
    .replaceAll(" ", "_")
    .replaceAll("+", "_plus_")
    .replaceAll("*", "wildcard_")
    .replaceAll(":", "-")
    .replaceAll("..", "")
    .replaceAll(/[^a-z0-9_@.-]/g, "");
}
