/**
 * sotto's server core fed with bytes that no client of ours would send.
 *
 *     const { error, alert } = feed(await testServer(), plaintextRecords(hello({ versions: [0x0303] })));
 *
 * @module
 */
import { type AlertName, alertName } from "../../src/tls/alert.ts";
import { ServerConnection } from "../../src/tls/connection.ts";
import { type Reason, TlsError } from "../../src/tls/error.ts";
import { joined } from "./hello-builder.ts";
import { type Answers, RecordingOutput } from "./recording-output.ts";
import { START_MS, type TestServer } from "./server-config.ts";

export interface Fed {
  readonly server: ServerConnection;
  readonly output: RecordingOutput;
  /** What `receive` threw. */
  readonly error: TlsError | undefined;
  readonly reason: Reason | undefined;
  /** The alert that went out in clear, if the last record is one; undefined also if it was sealed. */
  readonly alert: AlertName | `${number}` | undefined;
  /** Content types of the records that went out. */
  readonly records: readonly number[];
}

/** One connection that is given `input`, in pieces of `chunkBytes`. Errors other than TlsError fly through. */
export function feed(
  test: TestServer,
  input: Uint8Array | readonly Uint8Array[],
  options: Answers & { readonly chunkBytes?: number; readonly nowMs?: number } = {},
): Fed {
  const output = new RecordingOutput(test.site, options);
  const server = new ServerConnection(test.config, output);
  output.connection = server;
  const bytes = input instanceof Uint8Array ? input : joined(input);
  const size = options.chunkBytes ?? Math.max(1, bytes.length);
  let error: TlsError | undefined;
  for (let at = 0; at < bytes.length && error === undefined; at += size) {
    try {
      server.receive(bytes.slice(at, at + size), options.nowMs ?? START_MS);
    } catch (thrown) {
      if (!(thrown instanceof TlsError)) throw thrown;
      error = thrown;
    }
    error ??= output.received;
  }
  const wire = recordsOf(joined(output.sent));
  const last = wire.at(-1);
  return {
    server,
    output,
    error,
    reason: error?.reason,
    alert: last?.type === 21 && last.fragment.length === 2
      ? alertName(last.fragment[1]!)
      : undefined,
    records: wire.map(({ type }) => type),
  };
}

export interface WireRecord {
  readonly type: number;
  readonly version: number;
  readonly fragment: Uint8Array;
}

/** Whole records, as they stand on the wire. @throws what follows the last is no whole record */
export function recordsOf(wire: Uint8Array): WireRecord[] {
  const records: WireRecord[] = [];
  let at = 0;
  while (at < wire.length) {
    const length = (wire[at + 3]! << 8) | wire[at + 4]!;
    if (at + 5 + length > wire.length) {
      throw new RangeError("Cannot split records: the last is cut");
    }
    records.push({
      type: wire[at]!,
      version: (wire[at + 1]! << 8) | wire[at + 2]!,
      fragment: wire.subarray(at + 5, at + 5 + length),
    });
    at += 5 + length;
  }
  return records;
}
