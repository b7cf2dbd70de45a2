/**
 * What the states of a connection share: its two record directions, and the one flight that is being built.
 *
 * All connections of a process build their records in the same memory. That is safe because a flight never outlives
 * the call that builds it, and because whoever finds another connection's bytes there sends them on first.
 *
 * @module
 */
import type { Suite, TrafficKeys } from "../crypto/crypto.ts";
import { Alert } from "./alert.ts";
import type { ServerConfig } from "./config.ts";
import type { EchStatus, Output } from "./output.ts";
import { RecordReader } from "./record-reader.ts";
import { Flight, RecordWriter } from "./record.ts";
import { ContentType } from "./wire/code-points.ts";

export class Link {
  readonly config: ServerConfig;
  readonly out: Output;
  readonly reader: RecordReader;
  readonly writer: RecordWriter = new RecordWriter();
  /** Wall-clock time of the last input. */
  nowMs = 0;
  ech: EchStatus | undefined = undefined;
  #isClosed = false;
  /** Records of a flight whose rest is still to come; or why none of it will come. */
  #held: Uint8Array | SendFailure | undefined;

  constructor(config: ServerConfig, out: Output) {
    this.config = config;
    this.out = out;
    this.reader = new RecordReader(config.limits);
  }

  /** Our last word is queued: whatever is written from here on is dropped. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  close(): void {
    this.#isClosed = true;
  }

  /** Queues `bytes[start, end)` as records of `type` under the write key in force. */
  write(type: number, bytes: Uint8Array, start: number, end: number, padTo: number = 0): void {
    if (this.#isClosed) return;
    claimFlight(this);
    if (this.#held instanceof Uint8Array) {
      const at = flight.reserve(this.#held.length); // which may give it other memory
      flight.bytes.set(this.#held, at);
      this.#held = undefined;
    }
    this.writer.write(flight, type, bytes, start, end, padTo);
    if (flight.length >= FLUSH_AT_BYTES) this.flush();
  }

  /** The one compatibility record, right after our first handshake message (RFC 9846 §E.4). */
  writeChangeCipherSpec(): void {
    this.write(ContentType.change_cipher_spec, CHANGE_CIPHER_SPEC, 0, 1);
  }

  writeAlert(code: number): void {
    const level = code === Alert.close_notify || code === Alert.user_canceled ? 1 : 2;
    alert[0] = level;
    alert[1] = code;
    this.write(ContentType.alert, alert, 0, 2, this.#alertPadding);
  }

  /** Behind ECH, whatever ends the handshake looks like any other flight to whoever watches (policy §8.10). */
  get #alertPadding(): number {
    const isHidden = this.ech?.outcome === "accepted" && this.writer.isProtected;
    return isHidden && this.reader.inHandshake ? this.config.flightPadding : 0;
  }

  /**
   * Keeps what is queued until more is written: a flight that has to wait goes out whole, so that it does not tell by
   * its pieces which site has a slow key (policy §8.9).
   */
  hold(): void {
    if (owner !== this) return;
    owner = undefined;
    this.#held = flight.bytes.slice(0, flight.length);
    flight.reset();
  }

  /** Hands the queued records on, in one piece. Throws what `out.send` throws; nothing is sent after that. */
  flush(): void {
    if (this.#held instanceof SendFailure) {
      const { cause } = this.#held;
      this.#held = undefined;
      throw cause;
    }
    if (owner !== this) return;
    owner = undefined;
    if (flight.length === 0) return;
    const full = flight;
    flight = spare ?? new Flight(); // whoever writes during `send` finds other memory
    spare = undefined;
    try {
      this.out.send(full.bytes, 0, full.length);
    } catch (error) {
      this.close(); // sealed records are lost: none can follow them
      throw error;
    } finally {
      full.reset();
      spare = full;
    }
  }

  /** Flushes for another connection, which is not to suffer from it. */
  giveWay(): void {
    try {
      this.flush();
    } catch (cause) {
      this.#held = new SendFailure(cause);
    }
  }

  protectRead(suite: Suite, keys: TrafficKeys): void {
    this.reader.protect(this.config.crypto.aead(suite.aead, keys.key), keys.iv);
  }

  protectWrite(suite: Suite, keys: TrafficKeys): void {
    this.writer.protect(this.config.crypto.aead(suite.aead, keys.key), keys.iv);
  }
}

/** What `out.send` threw when another connection needed the flight. */
class SendFailure {
  readonly cause: unknown;

  constructor(cause: unknown) {
    this.cause = cause;
  }
}

function claimFlight(link: Link): void {
  while (owner !== undefined && owner !== link) owner.giveWay(); // which may let a third one write
  owner = link;
}

let flight = new Flight();
let spare: Flight | undefined;
/** Whose bytes are in `flight`. */
let owner: Link | undefined;

/** Used within one call. */
const alert = new Uint8Array(2);
const CHANGE_CIPHER_SPEC = new Uint8Array([1]);
/** Bulk data goes out in pieces of this size (hot-path §5); a handshake flight is far smaller. */
const FLUSH_AT_BYTES = 65536;
