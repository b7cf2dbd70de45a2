import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { chooseCrypto } from "../../src/crypto/choose.ts";
import { DEFAULT_LIMITS } from "../../src/tls/limits.ts";
import { RecordReader } from "../../src/tls/record-reader.ts";
import { Flight, RecordWriter } from "../../src/tls/record.ts";
import { SUITES } from "../../src/tls/suites.ts";
import { ContentType } from "../../src/tls/wire/code-points.ts";
import { bytes, everyByte, feed, Recorder, zeros } from "./record-kit.ts";

interface TraceRecord {
  readonly from: "client" | "server";
  readonly record: string;
  readonly protection: "plaintext" | "early" | "handshake" | "application";
  readonly content_type: keyof typeof ContentType;
  readonly messages?: readonly { readonly data: string }[];
  readonly content?: string;
}

interface Trace {
  readonly section: number;
  readonly title: string;
  readonly records: readonly TraceRecord[];
  readonly secrets: Readonly<Record<string, string>>;
}

const path = new URL("../fixtures/rfc8448.json", import.meta.url);
const { traces } = JSON.parse(readFileSync(path, "utf8")) as { traces: readonly Trace[] };
const providers = [chooseCrypto({ force: "native" }), chooseCrypto({ force: "noble" })];
const fromHex = (hex: string) => Uint8Array.from(Buffer.from(hex, "hex"));
const contentOf = (record: TraceRecord) =>
  record.content ?? record.messages!.map(({ data }) => data).join("");

describe.each(providers.map((crypto) => [crypto.name, crypto] as const))("with %s", (_, crypto) => {
  const keysOf = (trace: Trace, { from, protection }: TraceRecord) => {
    const name = `${from}_${protection}`;
    const key = crypto.aead("aes-128-gcm", fromHex(trace.secrets[`${name}_key`]!));
    return [key, fromHex(trace.secrets[`${name}_iv`]!)] as const;
  };

  for (const trace of traces) {
    for (const from of ["client", "server"] as const) {
      const records = trace.records.filter((record) => record.from === from);

      test(`RFC 8448 §${trace.section}: the ${from}'s records open, refused early data aside`, () => {
        const heard = records.filter(({ protection, content_type }) =>
          protection !== "early" && content_type !== "change_cipher_spec"
        );
        const stream = bytes(...records.map(({ record }) => fromHex(record)));
        for (const cuts of [[], everyByte(stream)]) {
          const reader = new RecordReader(DEFAULT_LIMITS);
          const sink = new Recorder((_, count) => {
            reader.allowChangeCipherSpec = true;
            const next = heard[count];
            if (next === undefined || next.protection === heard[count - 1]!.protection) return;
            if (records.some(({ protection }) => protection === "early") && count === 1) {
              reader.skipEarlyData();
            }
            reader.protect(...keysOf(trace, next));
          });
          const outcome = feed(reader, sink, stream, cuts);
          expect(outcome.error).toBeUndefined();
          expect(outcome.records).toEqual(
            heard.map((r) => `${ContentType[r.content_type]}:${contentOf(r)}`),
          );
        }
      });

      test(`RFC 8448 §${trace.section}: the ${from}'s protected records are sealed to the byte`, () => {
        const writers = new Map<string, RecordWriter>();
        for (const record of records) {
          if (record.protection === "plaintext") continue;
          let writer = writers.get(record.protection);
          if (writer === undefined) {
            writer = new RecordWriter();
            writer.protect(...keysOf(trace, record));
            writers.set(record.protection, writer);
          }
          const flight = new Flight(16);
          const content = fromHex(contentOf(record));
          writer.write(flight, ContentType[record.content_type], content, 0, content.length);
          expect(flight.bytes.slice(0, flight.length)).toEqual(fromHex(record.record));
        }
      });
    }
  }

  test.each([...SUITES.values()])("$aead: what is written is read, over many records", (suite) => {
    const key = zeros(suite.keyLength).fill(5);
    const iv = zeros(12).fill(6);
    const writer = new RecordWriter();
    const reader = new RecordReader(DEFAULT_LIMITS);
    writer.protect(crypto.aead(suite.aead, key), iv);
    reader.protect(crypto.aead(suite.aead, key), iv);
    const content = zeros(40_000).map((_, i) => i % 251);
    const flight = new Flight(16);
    writer.write(flight, ContentType.handshake, content, 0, 1000, 512);
    writer.write(flight, ContentType.application_data, content, 0, content.length);
    const { records, error } = feed(reader, new Recorder(), flight.bytes.slice(0, flight.length), [
      3,
      20_000,
    ]);
    expect(error).toBeUndefined();
    const hex = Buffer.from(content).toString("hex");
    expect(records[0]).toBe(`22:${hex.slice(0, 2000)}`);
    expect(records.slice(1).map((record) => record.slice(3)).join("")).toBe(hex);
    expect(writer.sealedRecords).toBe(4);
  });
});
