import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TlsError } from "../../src/tls/error.ts";
import { HandshakeReader, type HandshakeSink } from "../../src/tls/handshake-reader.ts";
import { bytes, everyByte, zeros } from "./record-kit.ts";

function message(type: number, length: number): Uint8Array {
  return bytes([type, length >> 16, (length >> 8) & 255, length & 255], zeros(length).fill(type));
}

interface Heard {
  readonly message: Uint8Array;
  readonly last: boolean;
  /** Was it handed over where it lay? */
  readonly buffer: ArrayBufferLike;
}

class Recorder implements HandshakeSink {
  readonly headers: [type: number, length: number][] = [];
  readonly heard: Heard[] = [];
  /** Says stop after each message. */
  stop = false;

  expectMessage(type: number, length: number): void {
    this.headers.push([type, length]);
    if (type === 99) throw new TlsError("unexpected message");
    if (length > 10_000) throw new TlsError("message too long");
  }

  message(type: number, bytes: Uint8Array, start: number, end: number, last: boolean): boolean {
    expect(bytes[start]).toBe(type);
    this.heard.push({ message: bytes.slice(start, end), last, buffer: bytes.buffer });
    return !this.stop;
  }

  get messages(): Uint8Array[] {
    return this.heard.map(({ message }) => message);
  }
}

/** Each piece between two cuts is one record. */
function feed(
  reader: HandshakeReader,
  sink: Recorder,
  stream: Uint8Array,
  cuts: number[],
): boolean {
  let from = 0;
  let open = true;
  for (const to of [...cuts, stream.length]) {
    open = reader.receive(stream.slice(from, to), 0, to - from, sink);
    from = to;
  }
  return open;
}

const messages = [message(1, 300), message(20, 0), message(24, 1), message(11, 900)];
const stream = bytes(...messages);
const headers = [[1, 300], [20, 0], [24, 1], [11, 900]];

describe("HandshakeReader", () => {
  test("tls13 1.1: it hands over several messages of one record where they lie", () => {
    const sink = new Recorder();
    const reader = new HandshakeReader();
    const record = bytes([9, 9], stream, [9]);
    expect(reader.receive(record, 2, record.length - 1, sink)).toBe(true);
    expect(sink.messages).toEqual(messages);
    expect(sink.headers).toEqual(headers);
    expect(sink.heard.every(({ buffer }) => buffer === record.buffer)).toBe(true);
    expect(sink.heard.map(({ last }) => last)).toEqual([false, false, false, true]);
    expect(reader.pending).toBe(false);
  });

  test("tls13 1.1: it joins messages in records of one byte, headers included", () => {
    const sink = new Recorder();
    const reader = new HandshakeReader();
    feed(reader, sink, stream, everyByte(stream));
    expect(sink.messages).toEqual(messages);
    expect(sink.headers).toEqual(headers);
    expect(sink.heard.every(({ last }) => last)).toBe(true);
    expect(reader.pending).toBe(false);
  });

  test("tls13 1.1: it hears the same however the stream is cut into records", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: stream.length - 1 })), (points) => {
        const sink = new Recorder();
        const reader = new HandshakeReader();
        const cuts = [...new Set(points)].sort((a, b) => a - b);
        feed(reader, sink, stream, cuts);
        expect(sink.messages).toEqual(messages);
        expect(sink.headers).toEqual(headers);
        let end = 0;
        sink.heard.forEach(({ message, last }) => {
          end += message.length;
          expect(last).toBe(end === stream.length || cuts.includes(end));
        });
      }),
      { numRuns: 300 },
    );
  });

  test("tls13 1: it is pending from the first byte of a header to the last of a message", () => {
    const hello = message(1, 7);
    for (let cut = 1; cut < hello.length; cut++) {
      const sink = new Recorder();
      const reader = new HandshakeReader();
      expect(reader.pending).toBe(false);
      reader.receive(hello, 0, cut, sink);
      expect(reader.pending).toBe(true);
      expect(sink.headers.length).toBe(cut < 4 ? 0 : 1);
      reader.receive(hello, cut, hello.length, sink);
      expect(reader.pending).toBe(false);
      expect(sink.messages).toEqual([hello]);
    }
  });

  test("tls13 1.1: type and length are judged as soon as 4 bytes are there", () => {
    for (
      const [header, reason] of [
        [[99, 0, 0, 9], "unexpected message"],
        [[1, 0xff, 0xff, 0xff], "message too long"],
      ] as const
    ) {
      for (const cuts of [[], [1], [2], [3], [1, 2, 3]]) {
        const sink = new Recorder();
        const reader = new HandshakeReader();
        const whole = Uint8Array.from(header);
        expect(() => feed(reader, sink, whole, cuts)).toThrow(reason);
        expect(() => feed(new HandshakeReader(), sink, whole.subarray(0, 3), [])).not.toThrow();
      }
    }
  });

  test("tls13 1.1: memory follows what has come, not what is declared", () => {
    const sink = new Recorder();
    const reader = new HandshakeReader();
    const long = message(11, 9000);
    reader.receive(long, 0, 10, sink);
    reader.receive(long, 10, 5000, sink);
    reader.receive(long, 5000, long.length, sink);
    expect(sink.messages).toEqual([long]);
    expect(sink.heard[0]!.buffer.byteLength).toBe(long.length);
  });

  test("HandshakeReader gives its buffer away: the next message gets another", () => {
    const sink = new Recorder();
    const reader = new HandshakeReader();
    feed(reader, sink, stream, [10]);
    feed(reader, sink, stream, [10]);
    expect(sink.heard[0]!.buffer).not.toBe(sink.heard[4]!.buffer);
  });

  test("HandshakeReader keeps the rest when told to stop, and what comes meanwhile", () => {
    for (let cut = 1; cut < 320; cut++) {
      const sink = new Recorder();
      const reader = new HandshakeReader();
      sink.stop = true;
      const open = reader.receive(stream, 0, cut, sink);
      expect(open).toBe(cut < messages[0]!.length);
      expect(reader.receive(stream, cut, stream.length, sink)).toBe(false);
      expect(sink.messages).toEqual(messages.slice(0, 1));
      expect(reader.pending).toBe(true);
      expect(reader.resume(sink)).toBe(false);
      expect(sink.messages).toEqual(messages.slice(0, 2));
      sink.stop = false;
      expect(reader.resume(sink)).toBe(true);
      expect(sink.messages).toEqual(messages);
      expect(reader.pending).toBe(false);
      expect(reader.resume(sink)).toBe(true);
    }
  });

  test("HandshakeReader stopped at the end of a record holds nothing", () => {
    const sink = new Recorder();
    const reader = new HandshakeReader();
    sink.stop = true;
    expect(reader.receive(messages[0]!, 0, messages[0]!.length, sink)).toBe(false);
    expect(reader.pending).toBe(false);
    expect(reader.resume(sink)).toBe(true);
  });

  test("HandshakeReader throws nothing of its own at arbitrary bytes", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 })), (records) => {
        const sink = new Recorder();
        const reader = new HandshakeReader();
        try {
          for (const record of records) reader.receive(record, 0, record.length, sink);
        } catch (error) {
          expect(error).toBeInstanceOf(TlsError);
        }
      }),
    );
  });
});
