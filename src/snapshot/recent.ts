/**
 * What was used last, of things that can be made again.
 * @module
 */

/** A map of bounded size: the least recently used goes first. */
export class Recent<K, V> {
  readonly #capacity: number;
  /** The least recently used first. */
  readonly #entries = new Map<K, V>();
  #newestKey: K | undefined;
  #newest: V | undefined;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get(key: K): V | undefined {
    if (key === this.#newestKey) return this.#newest;
    const value = this.#entries.get(key);
    if (value === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, value);
    [this.#newestKey, this.#newest] = [key, value];
    return value;
  }

  set(key: K, value: V): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    [this.#newestKey, this.#newest] = [key, value];
    if (this.#entries.size <= this.#capacity) return;
    for (const oldest of this.#entries.keys()) {
      this.#entries.delete(oldest);
      return;
    }
  }

  get size(): number {
    return this.#entries.size;
  }
}
