/**
 * Writes what is served into the snapshot's file, in the background: the newest one after the other.
 * @module
 */
import type { SnapshotFacts } from "../snapshot/codec.ts";
import type { Snapshot } from "../snapshot/snapshot.ts";
import type { KeptEch } from "./ech/kept-ech.ts";
import type { SnapshotFile } from "./snapshot-file.ts";

type Slots = Snapshot["slots"];

export interface SnapshotWriterParts {
  readonly file: SnapshotFile;
  /**
   * Many sites of `written` are objects, and now their bytes are there: those may take their place.
   *
   * @returns what is the same as `written` from now on; undefined: something else is served by now
   */
  readonly pack: (bytes: Slots["base"], written: Slots) => Promise<Slots | undefined>;
  readonly onTrouble: (error: unknown) => void;
}

export class SnapshotWriter {
  readonly #parts: SnapshotWriterParts;
  #writing: Promise<void> = Promise.resolve();
  /** What the file holds, or is about to. */
  #written: { readonly slots: Slots; readonly ech: KeptEch | undefined } | undefined;
  #endRest: () => void = () => {};
  /** Who waits in `written`. */
  #awaited = 0;

  constructor(parts: SnapshotWriterParts) {
    this.#parts = parts;
  }

  /** The file holds this already, or what is the same. */
  holds(slots: Slots, ech: KeptEch | undefined): void {
    this.#written = { slots, ech };
  }

  /** What the file holds is not enough, although it has the same sites. */
  invalidate(): void {
    this.#written = undefined;
  }

  /** Nothing, where the file holds it. */
  write(snapshot: Snapshot, ech: KeptEch | undefined, facts: Omit<SnapshotFacts, "ech">): void {
    const { file, onTrouble } = this.#parts;
    const { slots } = snapshot;
    if (this.#written?.slots === slots && this.#written.ech === ech) return;
    const ours = { slots, ech };
    this.#written = ours;
    this.#writing = this.#writing.then(async () => {
      if (this.#written !== ours) return; // a newer one waits behind
      try {
        const startMs = performance.now();
        await file.write(snapshot, { ...facts, ech: ech?.stored });
        const packed = slots.looseCount > MAX_LOOSE ? await this.#pack(slots) : undefined;
        if (packed !== undefined && this.#written === ours) this.holds(packed, ech);
        await this.#rest(WRITE_REST * (performance.now() - startMs));
      } catch (error) {
        if (this.#written === ours) this.#written = undefined; // what waits behind has its own try
        onTrouble(error);
      }
    });
  }

  /** Resolves once the file holds what is served, or could not be written. */
  async written(): Promise<void> {
    this.#awaited++; // a rest that is still to come must not hold anybody up
    this.#endRest();
    try {
      await this.#writing;
    } finally {
      this.#awaited--;
    }
  }

  /** Sites that are objects take ten times the room of their bytes, which have just been written. */
  async #pack(written: Slots): Promise<Slots | undefined> {
    const { file, pack } = this.#parts;
    const { stored, warning } = await file.read();
    if (stored === undefined) throw new Error(warning ?? "The snapshot's file has gone");
    return await pack(stored.table.slots.base, written);
  }

  /** A large file takes its time: it is not written for each change of many, the last one counts. */
  async #rest(ms: number): Promise<void> {
    if (ms < MIN_REST_MS || this.#awaited > 0) return;
    const rest = Promise.withResolvers<void>();
    const timer = setTimeout(rest.resolve, ms);
    timer.unref();
    this.#endRest = rest.resolve;
    await rest.promise;
    clearTimeout(timer);
  }
}

/** Sites that may be objects before they are packed. */
const MAX_LOOSE = 2048;
/** After writing it rests for so many times as long as that took, where that is long at all. */
const WRITE_REST = 4;
const MIN_REST_MS = 400;
