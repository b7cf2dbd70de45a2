/**
 * Signs on a thread of its own for keys that take milliseconds (RSA), so that who visits such a site holds nobody else
 * up. Where there is no thread, or not yet, it signs here as before.
 *
 * A key goes to the thread once, with its first signature, and is forgotten there when no site has it any more.
 *
 * @module
 */
import { Worker } from "node:worker_threads";

import { SiteCredential } from "../snapshot/credential.ts";
import type { KeyOwner } from "../snapshot/signing-keys.ts";
import type { Snapshot } from "../snapshot/snapshot.ts";
import type { SignatureRequest } from "../tls/output.ts";
import { describeException } from "./exception.ts";
import type { Log } from "./log.ts";

export interface SlowSignerParts {
  /** The thread's program; it speaks the messages below. */
  readonly thread: URL;
  /** Signatures that wait, or are being made. Reached: a handshake that needs one more fails. */
  readonly maxWaiting: number;
  readonly log: Log;
}

/** To the thread. `pem` is the thread's to erase. */
export type ToSigner =
  | { readonly kind: "key"; readonly key: number; readonly pem: Uint8Array }
  | { readonly kind: "forget"; readonly key: number }
  | {
    readonly kind: "sign";
    readonly id: number;
    readonly key: number;
    /** SignatureScheme code point. */
    readonly scheme: number;
    readonly content: Uint8Array;
  };

/** From the thread: it is up, or here is what was asked for; without a signature it could not be made. */
export type FromSigner =
  | { readonly kind: "ready" }
  | { readonly kind: "signed"; readonly id: number; readonly signature: Uint8Array | undefined };

/** A signature that does not come. */
export class SignerError extends Error {
  override readonly name = "SignerError";
}

interface Waiting {
  readonly credential: SiteCredential;
  readonly scheme: number;
  readonly content: Uint8Array;
  readonly resolve: (signature: Uint8Array) => void;
  readonly reject: (error: SignerError) => void;
}

/** A key that the thread has. */
interface KeyThere {
  readonly number: number;
  /** Of its certificate. */
  readonly names: readonly string[];
}

interface Thread {
  readonly worker: Worker;
  readonly keys: Map<KeyOwner, KeyThere>;
  isReady: boolean;
}

export class SlowSigner {
  readonly #parts: SlowSignerParts;
  readonly #waiting = new Map<number, Waiting>();
  #thread: Thread | undefined;
  #lastId = 0;
  /** On `performance.now()`. */
  #lastStartMs = -Infinity;
  #isStopped = false;
  /** After a thread has died, or could not be had; ms. */
  restartAfterMs: number = RESTART_AFTER_MS;

  constructor(parts: SlowSignerParts) {
    this.#parts = parts;
  }

  /** For `EdgeServer`. Rejects with SignerError, or with what is wrong with the key. */
  async sign({ credential, scheme, content }: SignatureRequest): Promise<Uint8Array> {
    if (!(credential instanceof SiteCredential)) {
      throw new SignerError(`Cannot sign for ${credential.id}: its key is elsewhere`);
    }
    if (this.#waiting.size >= this.#parts.maxWaiting) {
      throw new SignerError(`Cannot sign for ${credential.id}: too many signatures wait`);
    }
    const thread = this.#thread ?? this.#start();
    if (thread?.isReady !== true) return credential.signHere(scheme, content);
    return await new Promise((resolve, reject) => {
      this.#ask(thread, { credential, scheme, content, resolve, reject });
    });
  }

  /** Keys that are not in it are forgotten. */
  keep(snapshot: Snapshot): void {
    const thread = this.#thread;
    for (const [owner, { names }] of thread?.keys ?? []) {
      const isServed = names.some((name) =>
        snapshot.findText(name)?.tls.credentials.some((one) =>
          one instanceof SiteCredential && one.keyOwner === owner
        )
      );
      if (!isServed) this.#forget(thread!, owner);
    }
  }

  /** Signatures that wait, or are being made. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Keys that the thread holds. */
  get keys(): number {
    return this.#thread?.keys.size ?? 0;
  }

  /** Ends the thread. What still waits is signed here. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#thread?.worker.terminate();
  }

  /** For tests: as if it had died. */
  async killThread(): Promise<void> {
    await this.#thread?.worker.terminate();
  }

  #ask(thread: Thread, waiting: Waiting): void {
    const id = ++this.#lastId;
    this.#waiting.set(id, waiting);
    const { credential, scheme, content } = waiting;
    const { number: key } = thread.keys.get(credential.keyOwner) ??
      this.#handOver(thread, credential);
    post(thread, { kind: "sign", id, key, scheme, content });
  }

  #handOver(thread: Thread, { keyOwner, names, keyPem }: SiteCredential): KeyThere {
    if (thread.keys.size >= MAX_KEYS) {
      for (const oldest of thread.keys.keys()) {
        this.#forget(thread, oldest);
        break;
      }
    }
    const there = { number: ++this.#lastId, names };
    thread.keys.set(keyOwner, there);
    const pem = new TextEncoder().encode(keyPem);
    // Moved, not copied: of this side's memory nothing is left to erase.
    post(thread, { kind: "key", key: there.number, pem }, [pem.buffer]);
    return there;
  }

  #forget(thread: Thread, owner: KeyOwner): void {
    const there = thread.keys.get(owner);
    thread.keys.delete(owner);
    if (there !== undefined) post(thread, { kind: "forget", key: there.number });
  }

  #start(): Thread | undefined {
    if (this.#isStopped || performance.now() < this.#lastStartMs + this.restartAfterMs) {
      return undefined;
    }
    this.#lastStartMs = performance.now();
    let cause: unknown;
    try {
      const worker = new Worker(this.#parts.thread);
      const thread: Thread = { worker, keys: new Map(), isReady: false };
      this.#thread = thread;
      worker.unref();
      worker.on("message", (message: FromSigner) => this.#told(thread, message));
      worker.on("error", (error) => cause = error);
      worker.on("exit", () => this.#died(thread, cause));
      return thread;
    } catch (error) {
      this.#warn(error);
      return undefined;
    }
  }

  #told(thread: Thread, message: FromSigner): void {
    if (message.kind === "ready") {
      thread.isReady = true;
      return;
    }
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (waiting === undefined) return;
    const { credential, resolve, reject } = waiting;
    if (message.signature !== undefined) resolve(message.signature);
    else reject(new SignerError(`Cannot sign for ${credential.id}: its key cannot do it`));
  }

  /** What it owed is signed here: until there is another one this is as good as without. */
  #died(thread: Thread, cause: unknown): void {
    if (this.#thread !== thread) return;
    this.#thread = undefined;
    if (!this.#isStopped) this.#warn(cause);
    const owed = [...this.#waiting.values()];
    this.#waiting.clear();
    void signAll(owed);
  }

  #warn(cause: unknown): void {
    this.#parts.log.event("warn", "signer_thread_ended", {
      ...describeException(cause),
      what: "slow signatures are made on the thread that serves, until another one is up",
    });
  }
}

/** One after the other, and the loop has its turn between: they may be many. */
async function signAll(owed: readonly Waiting[]): Promise<void> {
  for (const { credential, scheme, content, resolve, reject } of owed) {
    try {
      resolve(credential.signHere(scheme, content));
    } catch (cause) {
      reject(new SignerError(`Cannot sign for ${credential.id}`, { cause }));
    }
    await new Promise<void>((turn) => setImmediate(turn));
  }
}

function post({ worker }: Thread, message: ToSigner, transfer: ArrayBuffer[] = []): void {
  worker.postMessage(message, transfer);
}

/** Keys that a thread holds at most. */
const MAX_KEYS = 4096;
/** After a thread has died, or could not be had. */
const RESTART_AFTER_MS = 5_000;
