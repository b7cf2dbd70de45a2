/**
 * What was used last, of things that can be made again.
 * @module
 */

/**
 * A map of bounded size. Where it is full one goes that was not used since the hand last came by, as a clock's hand goes
 * round (second chance): to use what is there writes one byte, and nothing that the collector would look at again.
 */
export class Recent<K, V> {
  readonly #capacity: number;
  readonly #places = new Map<K, number>();
  readonly #keys: K[] = [];
  readonly #values: V[] = [];
  /** 1: used since the hand came by. Grows with the rest. */
  #used = new Uint8Array(64);
  #hand = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get(key: K): V | undefined {
    const place = this.#places.get(key);
    if (place === undefined) return undefined;
    this.#used[place] = 1;
    return this.#values[place];
  }

  set(key: K, value: V): void {
    const known = this.#places.get(key);
    const place = known ?? this.#freePlace();
    if (known === undefined) this.#places.set(key, place);
    this.#keys[place] = key;
    this.#values[place] = value;
    this.#used[place] = known === undefined ? 0 : 1;
  }

  get size(): number {
    return this.#places.size;
  }

  #freePlace(): number {
    const { length } = this.#keys;
    if (length < this.#capacity) {
      if (length === this.#used.length) this.#used = grown(this.#used);
      return length;
    }
    while (this.#used[this.#hand] === 1) {
      this.#used[this.#hand] = 0;
      this.#hand = (this.#hand + 1) % this.#capacity;
    }
    const place = this.#hand;
    this.#hand = (place + 1) % this.#capacity;
    this.#places.delete(this.#keys[place]!);
    return place;
  }
}

function grown(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(2 * bytes.length);
  larger.set(bytes);
  return larger;
}
