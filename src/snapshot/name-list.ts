/**
 * Names on their way into an SniTrie, packed as they come: one byte array, no object per name.
 * @module
 */

/** The largest index that a name can have. */
export const MAX_INDEX = 0xffff_fffe;

/** The index of a name that was removed. */
export const REMOVED = 0xffff_ffff;

/** SNI's own limit is 2^16 - 1; a longer name than this is no host's. */
export const MAX_NAME_LENGTH = 255;

export const DOT = 0x2e;
export const ASTERISK = 0x2a;

/** A list in a form that threads pass to each other. */
export interface NameArrays {
  readonly keys: Uint8Array;
  readonly ends: Uint32Array;
  readonly indices: Uint32Array;
}

/**
 * A list of (name, index) in which the last entry of a name wins.
 *
 * What it holds are keys: the name itself, or ".example.com" for "*.example.com". No name begins with a dot, so one
 * table holds both kinds and a lookup finds either in the bytes as they came.
 */
export class NameList {
  #keys: Uint8Array;
  #ends: Uint32Array<ArrayBuffer>;
  #indices: Uint32Array<ArrayBuffer>;
  #count = 0;

  /** With room for so many names whose keys are so long together; it grows by itself. */
  constructor(names = 64, keysLength = 16 * names) {
    this.#keys = new Uint8Array(Math.max(1, keysLength));
    this.#ends = new Uint32Array(Math.max(1, names));
    this.#indices = new Uint32Array(Math.max(1, names));
  }

  /** @throws {RangeError} see `add` */
  static from(names: Iterable<readonly [name: string, index: number]>): NameList {
    const list = new NameList();
    for (const [name, index] of names) list.add(name, index);
    return list;
  }

  /** What `toArrays` gave. */
  static fromArrays(arrays: NameArrays): NameList {
    const list = new NameList(arrays.ends.length, arrays.keys.length);
    list.addAll(arrays);
    return list;
  }

  /** A copy. */
  toArrays(): NameArrays {
    return {
      keys: this.keys.slice(),
      ends: this.ends.slice(),
      indices: this.indices.slice(),
    };
  }

  /**
   * @param name lower-case A-labels (or an IP address), "*." before them for one label of any kind
   * @param index whatever the caller finds by it: 0 to MAX_INDEX
   * @throws {RangeError} a name or an index that is none
   */
  add(name: string, index: number): void {
    if (!Number.isInteger(index) || index < 0 || index > MAX_INDEX) {
      throw new RangeError(`Cannot index a name by ${index}`);
    }
    this.#addText(name, index);
  }

  /** Whatever `name` had before is gone. @throws {RangeError} a name that is none */
  remove(name: string): void {
    this.#addText(name, REMOVED);
  }

  /** The same for names that are bytes already. `index`: perhaps REMOVED. @throws {RangeError} a name that is none */
  addBytes(name: Uint8Array, start: number, end: number, index: number): void {
    const isWildcard = name[start] === ASTERISK && name[start + 1] === DOT;
    const from = isWildcard ? start + 1 : start;
    if (end - start > MAX_NAME_LENGTH || !isKey(name, from, end, isWildcard)) {
      throw new RangeError(
        `Cannot index ${JSON.stringify(textOf(name, start, end))}: it is no name`,
      );
    }
    this.addKey(name, from, end, index);
  }

  /** A key of another list or trie, unchecked. */
  addKey(keys: Uint8Array, start: number, end: number, index: number): void {
    this.#reserve(end - start);
    let at = this.#length();
    for (let i = start; i < end; i++) this.#keys[at++] = keys[i]!;
    this.#end(at, index);
  }

  /** All of another list, which prevail over what is here already. */
  addAll({ keys, ends, indices }: NameArrays): void {
    let start = 0;
    for (let entry = 0; entry < ends.length; entry++) {
      this.addKey(keys, start, ends[entry]!, indices[entry]!);
      start = ends[entry]!;
    }
  }

  get count(): number {
    return this.#count;
  }

  /** All keys, one after the other. The three views hold until the next `add`. */
  get keys(): Uint8Array {
    return this.#keys.subarray(0, this.#length());
  }

  /** Where each key ends in `keys`. */
  get ends(): Uint32Array {
    return this.#ends.subarray(0, this.#count);
  }

  get indices(): Uint32Array {
    return this.#indices.subarray(0, this.#count);
  }

  #addText(name: string, index: number): void {
    const isWildcard = name.startsWith("*.");
    this.#reserve(Math.min(name.length, MAX_NAME_LENGTH));
    const start = this.#length();
    let at = start;
    let isAscii = name.length <= MAX_NAME_LENGTH;
    for (let i = isWildcard ? 1 : 0; i < name.length && isAscii; i++) {
      const unit = name.charCodeAt(i);
      isAscii = unit < 0x80;
      this.#keys[at++] = unit;
    }
    if (!isAscii || !isKey(this.#keys, start, at, isWildcard)) {
      throw new RangeError(`Cannot index ${JSON.stringify(name.slice(0, 300))}: it is no name`);
    }
    this.#end(at, index);
  }

  #length(): number {
    return this.#count === 0 ? 0 : this.#ends[this.#count - 1]!;
  }

  #reserve(length: number): void {
    const needed = this.#length() + length;
    if (needed > MAX_KEYS_LENGTH) throw new RangeError("Cannot index more than 2 GiB of names");
    if (needed > this.#keys.length) {
      const keys = new Uint8Array(Math.min(2 * needed, MAX_KEYS_LENGTH));
      keys.set(this.#keys);
      this.#keys = keys;
    }
    if (this.#count === this.#ends.length) {
      this.#ends = doubled(this.#ends);
      this.#indices = doubled(this.#indices);
    }
  }

  #end(at: number, index: number): void {
    this.#ends[this.#count] = at;
    this.#indices[this.#count] = index;
    this.#count++;
  }
}

/**
 * Labels of visible ASCII, none of them empty or with an asterisk; a wildcard's key begins at its dot. Not A to Z, and
 * not what stands around them in ASCII: but for that the hash would take "@" for "`", or "[" for "{", under every key.
 */
function isKey(bytes: Uint8Array, start: number, end: number, isWildcard: boolean): boolean {
  let wasDot = !isWildcard;
  for (let i = start; i < end; i++) {
    const byte = bytes[i]!;
    if (byte === DOT && wasDot) return false;
    if (byte <= 0x20 || byte >= 0x7f || byte === ASTERISK || (byte >= 0x40 && byte <= 0x5e)) {
      return false;
    }
    wasDot = byte === DOT;
  }
  return end > start && !wasDot;
}

function doubled(array: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(2 * array.length);
  larger.set(array);
  return larger;
}

function textOf(bytes: Uint8Array, start: number, end: number): string {
  return String.fromCharCode(...bytes.subarray(start, Math.min(end, start + 300)));
}

const MAX_KEYS_LENGTH = 0x7fff_ffff;
