/**
 * The memory that the WebAssembly works on: one area behind its own data, written before a call, read and wiped after it.
 *
 * There is one area for everybody, which is safe because nothing that uses it waits or calls back. It grows for a text
 * that is longer than any before, and never shrinks.
 *
 * @module
 */
/** What we use of a WebAssembly.Memory. */
export interface GrowingMemory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
}

export class WasmMemory {
  /** Where the area begins. */
  readonly start: number;
  /** The whole memory. Another one after `reserve`: growth detaches what was there. */
  bytes: Uint8Array<ArrayBuffer>;
  readonly #memory: GrowingMemory;

  constructor(memory: GrowingMemory, heapBase: number) {
    this.#memory = memory;
    this.start = (heapBase + 15) & ~15;
    this.bytes = new Uint8Array(memory.buffer);
    this.reserve(FIRST_LENGTH);
  }

  /** Makes sure that the area has `length` bytes. */
  reserve(length: number): void {
    const missing = this.start + length - this.bytes.length;
    if (missing <= 0) return;
    this.#memory.grow(Math.ceil(missing / PAGE));
    this.bytes = new Uint8Array(this.#memory.buffer);
  }

  /** A copy of the bytes from `at`. */
  read(at: number, length: number): Uint8Array {
    return this.bytes.slice(at, at + length);
  }

  /** Fills `length` bytes from `at` from the system's CSPRNG. */
  random(at: number, length: number): void {
    globalThis.crypto.getRandomValues(this.bytes.subarray(at, at + length));
  }

  /** Zeros from the area's start to `end`: secrets do not stay. */
  wipe(end: number): void {
    this.bytes.fill(0, this.start, end);
  }
}

const PAGE = 65_536;
/** Enough for every record, and for the longest piece that is hashed at once. */
const FIRST_LENGTH = 2 * PAGE;
