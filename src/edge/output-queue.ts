/** Sealed bytes that the socket did not take. There is one only while that is so. */
export class OutputQueue {
  #bytes: Uint8Array;
  #start = 0;
  #end = 0;

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.#bytes = new Uint8Array(Math.max(end - start, 4096));
    this.push(bytes, start, end);
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
