/** Sealed bytes that the socket did not take. There is one only while that is so. */
export class OutputQueue {
  #bytes: Uint8Array;
  #start = 0;
  #end = 0;
  /** When its bytes have waited for too long for a peer that takes none; for whoever gives them that long. */
  stalledAtMs: number;

  constructor(bytes: Uint8Array, start: number, end: number, stalledAtMs: number = Infinity) {
    this.stalledAtMs = stalledAtMs;
    const length = end - start;
    this.#bytes = length <= SMALL ? new Uint8Array(SMALL) : spare(length);
    this.push(bytes, start, end);
  }

  /** It is empty, and nobody uses it again: its memory may serve another one. */
  release(): void {
    if (this.#bytes.length === LARGE && SPARES.length < MAX_SPARES) SPARES.push(this.#bytes);
    this.#bytes = NOTHING;
  }

  get length(): number {
    return this.#end - this.#start;
  }

  /** Copies `bytes[start, end)`. */
  push(bytes: Uint8Array, start: number, end: number): void {
    const length = end - start;
    if (this.#end + length > this.#bytes.length) this.#makeRoom(length);
    this.#bytes.set(bytes.subarray(start, end), this.#end);
    this.#end += length;
  }

  /** Hands over what it can; the result is how much that was. */
  writeTo(
    socket: { write(bytes: Uint8Array, start: number, end: number): number },
  ): number {
    const taken = socket.write(this.#bytes, this.#start, this.#end);
    this.#start += taken;
    return taken;
  }

  #makeRoom(length: number): void {
    const needed = this.length + length;
    const roomy = needed > this.#bytes.length / 2 ? new Uint8Array(needed * 2) : this.#bytes;
    roomy.set(this.#bytes.subarray(this.#start, this.#end));
    this.#bytes = roomy;
    this.#end -= this.#start;
    this.#start = 0;
  }
}

const SMALL = 4096;
/** A sealed piece of 64 KiB, and then some. */
const LARGE = 96 * 1024;
const NOTHING = new Uint8Array(0);

/**
 * Under bulk a queue comes and goes with each piece. New memory each time would cost more than the copy into it.
 */
const SPARES: Uint8Array[] = [];
const MAX_SPARES = 16;

function spare(length: number): Uint8Array {
  return length > LARGE ? new Uint8Array(length) : SPARES.pop() ?? new Uint8Array(LARGE);
}
