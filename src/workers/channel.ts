/**
 * Messages over a unix socket: JSON behind its length in 4 bytes, big-endian.
 *
 * What is no message, too long or of another shape ends the channel: whoever sends that is not to be trusted with the
 * next one.
 *
 * @module
 */
import type { Socket } from "node:net";

export interface ChannelParts<In> {
  readonly socket: Socket;
  /** Of one message from the other side. */
  readonly maxBytes: number;
  /** @throws where it is no message */
  readonly parse: (value: unknown) => In;
  readonly onMessage: (message: In) => void;
  /** Once, and last. `why` where it was not an orderly end. */
  readonly onClose: (why: string | undefined) => void;
}

export class Channel<In, Out> {
  readonly #parts: ChannelParts<In>;
  #received: Uint8Array[] = [];
  #receivedLength = 0;
  #wanted = HEADER_LENGTH;
  #why: string | undefined;
  #isOpen = true;

  constructor(parts: ChannelParts<In>) {
    this.#parts = parts;
    const { socket } = parts;
    socket.on("data", (bytes: Uint8Array) => this.#receive(bytes));
    socket.on("error", (error) => this.#why ??= error.message);
    socket.on("end", () => socket.end());
    socket.on("close", () => this.#closed());
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** What the other side does not take piles up here: what can be done without is not to be sent then. */
  get isCrowded(): boolean {
    return this.unsentBytes > CROWDED_BYTES;
  }

  get unsentBytes(): number {
    return this.#parts.socket.writableLength;
  }

  /** To nobody once it is closed. */
  send(message: Out): void {
    if (!this.#isOpen) return;
    const text = new TextEncoder().encode(JSON.stringify(message));
    const bytes = new Uint8Array(HEADER_LENGTH + text.length);
    new DataView(bytes.buffer).setUint32(0, text.length);
    bytes.set(text, HEADER_LENGTH);
    this.#parts.socket.write(bytes);
  }

  /** Resolves once all that was sent has left, or never will. */
  async flushed(): Promise<void> {
    if (!this.#isOpen) return;
    await new Promise<void>((resolve) => {
      this.#parts.socket.once("close", () => resolve());
      this.#parts.socket.write(new Uint8Array(0), () => resolve());
    });
  }

  close(why?: string): void {
    this.#why ??= why;
    this.#isOpen = false;
    this.#parts.socket.destroy();
  }

  #receive(bytes: Uint8Array): void {
    this.#received.push(bytes);
    this.#receivedLength += bytes.length;
    try {
      while (this.#isOpen && this.#receivedLength >= this.#wanted) this.#takeMessage();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.close(`no message: ${why.slice(0, MAX_WHY)}`);
    }
  }

  #takeMessage(): void {
    const bytes = joined(this.#received);
    this.#received = [bytes];
    const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
    if (length > this.#parts.maxBytes) throw new RangeError(`${length} bytes are too long`);
    this.#wanted = HEADER_LENGTH + length;
    if (bytes.length < this.#wanted) return;
    const text = new TextDecoder().decode(bytes.subarray(HEADER_LENGTH, this.#wanted));
    const rest = bytes.subarray(this.#wanted);
    this.#received = rest.length === 0 ? [] : [rest];
    this.#receivedLength = rest.length;
    this.#wanted = HEADER_LENGTH;
    this.#parts.onMessage(this.#parts.parse(parseJson(text)));
  }

  #closed(): void {
    this.#isOpen = false;
    this.#parts.onClose(this.#why);
  }
}

const HEADER_LENGTH = 4;
const CROWDED_BYTES = 1024 * 1024;
/** Characters that are told of what is wrong. */
const MAX_WHY = 500;

/** @throws {SyntaxError} which, other than the runtime's, shows nothing of the text: there may be keys in it */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new SyntaxError("it is no JSON");
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const bytes = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
