/**
 * What was used last, of things that can be made again.
 * @module
 */

/**
 * A map of bounded size. Where it is full one goes that was not used since the hand last came by, as a clock's hand goes
 * round (second chance): to use what is there writes one byte, and nothing that the collector would look at again.
 */
export class Recent<K, V> {
  readonly #places = new Map<K, number>();
  readonly #keys: K[] = [];
  readonly #values: V[] = [];
  /** As many as it may hold; 1: used since the hand came by. */
  readonly #used: Uint8Array;
  #hand = 0;

  constructor(capacity: number) {
    this.#used = new Uint8Array(capacity);
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
    if (this.#keys.length < this.#used.length) return this.#keys.length;
    while (this.#used[this.#hand] === 1) {
      this.#used[this.#hand] = 0;
      this.#hand = (this.#hand + 1) % this.#used.length;
    }
    const place = this.#hand;
    this.#hand = (place + 1) % this.#used.length;
    this.#places.delete(this.#keys[place]!);
    return place;
  }
}
