/**
 * What many sites have in common, each once, by number: certificates above leaves, profiles, handlers.
 * @module
 */
import type { Crypto } from "../crypto/crypto.ts";

/** Read back: the blobs are views, and those that hold JSON are parsed when they are first asked for. */
export class CommonBlobs {
  readonly #bytes: Uint8Array;
  /** Where each begins, and where the last one ends. */
  readonly #starts: Uint32Array;
  readonly #views = new Map<number, Uint8Array>();
  readonly #values = new Map<number, unknown>();

  /** @throws {RangeError} they are no such blobs */
  constructor(bytes: Uint8Array) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const count = view.getUint32(0, true);
    let at = 4 + 4 * count;
    if (at > bytes.length) throw new RangeError("common blobs are not as many as they say");
    this.#starts = new Uint32Array(count + 1);
    for (let i = 0; i < count; i++) {
      this.#starts[i] = at;
      at += view.getUint32(4 + 4 * i, true);
    }
    this.#starts[count] = at;
    if (at !== bytes.length) throw new RangeError("common blobs are not as long as they say");
    this.#bytes = bytes;
  }

  get count(): number {
    return this.#starts.length - 1;
  }

  /** The same view each time. @throws {RangeError} there is no such blob */
  get(number: number): Uint8Array {
    let view = this.#views.get(number);
    if (view !== undefined) return view;
    if (number >= this.count) throw new RangeError(`there is no common blob ${number}`);
    view = this.#bytes.subarray(this.#starts[number], this.#starts[number + 1]);
    this.#views.set(number, view);
    return view;
  }

  /** What `read` makes of it, the same each time. */
  value<T>(number: number, read: (blob: Uint8Array) => T): T {
    let value = this.#values.get(number) as T | undefined;
    if (value === undefined) this.#values.set(number, value = read(this.get(number)));
    return value;
  }
}

/** On their way into a file. */
export class CommonBlobList {
  readonly #crypto: Pick<Crypto, "digest">;
  readonly #numbers = new Map<Uint8Array, number>();
  readonly #byContent = new Map<string, number>();
  readonly #blobs: Uint8Array[] = [];

  /** @param known keep their numbers */
  constructor(crypto: Pick<Crypto, "digest">, known?: CommonBlobs) {
    this.#crypto = crypto;
    for (let number = 0; number < (known?.count ?? 0); number++) this.number(known!.get(number));
  }

  /** The number of a blob with this content. */
  number(bytes: Uint8Array): number {
    let number = this.#numbers.get(bytes);
    if (number !== undefined) return number;
    const content = bytes.length <= 64 ? bytes.join() : this.#crypto.digest("sha256", bytes).join();
    number = this.#byContent.get(content);
    if (number === undefined) {
      number = this.#blobs.push(bytes) - 1;
      this.#byContent.set(content, number);
    }
    this.#numbers.set(bytes, number);
    return number;
  }

  textNumber(text: string): number {
    let number = this.#byContent.get(text);
    if (number === undefined) {
      this.#byContent.set(text, number = this.number(new TextEncoder().encode(text)));
    }
    return number;
  }

  encode(): Uint8Array {
    const length = this.#blobs.reduce((total, blob) => total + blob.length, 0);
    let at = 4 + 4 * this.#blobs.length;
    const bytes = new Uint8Array(at + length);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, this.#blobs.length, true);
    for (const [i, blob] of this.#blobs.entries()) {
      view.setUint32(4 + 4 * i, blob.length, true);
      bytes.set(blob, at);
      at += blob.length;
    }
    return bytes;
  }
}
