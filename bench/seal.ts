/**
 * Bulk through the record layer, sealing and opening: CPU seconds per GB of content.
 * @module
 */
import { chooseCrypto } from "../src/crypto/choose.ts";
import type { AeadName } from "../src/crypto/crypto.ts";
import { DEFAULT_LIMITS } from "../src/tls/limits.ts";
import { RecordReader, type RecordSink } from "../src/tls/record-reader.ts";
import { Flight, RecordWriter } from "../src/tls/record.ts";
import { ContentType } from "../src/tls/wire/code-points.ts";
import type { Case } from "./micro.ts";

/** @throws {Error} what is measured does not work */
export function sealCases(): Case[] {
  const cases: Case[] = [];
  for (const name of ["aes-128-gcm", "aes-256-gcm", "chacha20-poly1305"] as const) {
    // Full records as a server sends them, and what fits into one TCP segment.
    for (const size of [16384, 1380]) cases.push(...pair(name, size));
  }
  return cases;
}

function pair(name: AeadName, size: number): Case[] {
  const crypto = chooseCrypto();
  const aead = crypto.aead(name, crypto.random(name === "aes-128-gcm" ? 16 : 32));
  const iv = crypto.random(12);
  const content = crypto.random(CONTENT_BYTES);

  const flight = new Flight();
  const writer = new RecordWriter();
  writer.maxInnerPlaintext = size + 1;
  const seal = (): void => {
    flight.reset();
    writer.protect(aead, iv);
    writer.write(flight, ContentType.application_data, content, 0, content.length);
  };
  seal();
  const sealed = flight.bytes.slice(0, flight.length);

  const reader = new RecordReader(DEFAULT_LIMITS);
  const sink = new CountingSink(content);
  const open = (): void => {
    reader.protect(aead, iv);
    reader.receive(sealed, sink);
  };
  // A server's first record is a handshake record.
  reader.receive(Uint8Array.of(22, 3, 3, 0, 1, 0), sink);
  for (let i = 0; i < 2; i++) {
    sink.start();
    open();
    if (!sink.isWhole) throw new Error(`${name}: what was sealed does not open to the same`);
  }
  sink.isChecking = false;

  const what = `${name}, records of ${size} B`;
  return [
    { id: `${what}: seal`, unit: "CPU s/GB", bytes: content.length, run: seal },
    { id: `${what}: open`, unit: "CPU s/GB", bytes: content.length, run: open },
  ];
}

/** Compares what comes with what was sealed, as long as it is asked to. */
class CountingSink implements RecordSink {
  isChecking = true;
  readonly #expected: Uint8Array;
  #at = 0;
  #isSame = true;

  constructor(expected: Uint8Array) {
    this.#expected = expected;
  }

  start(): void {
    this.#at = 0;
    this.#isSame = true;
  }

  get isWhole(): boolean {
    return this.#isSame && this.#at === this.#expected.length;
  }

  record(type: number, bytes: Uint8Array, start: number, end: number): boolean {
    if (!this.isChecking || type !== ContentType.application_data) return true;
    for (let i = start; i < end; i++) {
      if (bytes[i] !== this.#expected[this.#at++]) this.#isSame = false;
    }
    return true;
  }
}

/** One call of the connection's `send` seals so many. */
const CONTENT_BYTES = 65_536;
