import { describe, expect, test } from "vitest";
import { checkSecondClientHello } from "../../../src/tls/wire/client-hello.ts";
import {
  alpn,
  change,
  compression,
  type Ext,
  filled,
  groups,
  helloBytes,
  type HelloParts,
  modes,
  psks,
  read,
  recordSizeLimit,
  refusal,
  schemes,
  shares,
  sni,
  versions,
  without,
} from "./hello.ts";

const P256 = 0x17;
const FIRST: readonly Ext[] = [
  [0x5a5a, []],
  sni("a.example"),
  groups(0x1d, P256, 0x18),
  schemes(0x0403, 0x0804),
  alpn("h2", "http/1.1"),
  [5, [1, 0, 0, 0, 0]],
  compression(2),
  recordSizeLimit(0x4001),
  [42, []],
  versions(0x0304),
  modes(1),
  shares([0x1d, filled(32)]),
  [58, [2, 1]],
  psks([[filled(20, 1), 5], [filled(30, 2), 6]], [filled(32), filled(32)]),
];
/** What a client that keeps to RFC 9846 §4.2.2 sends next. */
const SECOND = change(without(FIRST, 42), shares([P256, filled(65, 4)]));

function judge(extensions: readonly Ext[], parts: HelloParts = {}): string {
  const first = read(helloBytes({ extensions: FIRST }));
  const second = read(helloBytes({ extensions, ...parts }));
  return refusal(() => checkSecondClientHello(first, second, P256));
}

describe("the second ClientHello", () => {
  const share = "second ClientHello without the asked key share -> illegal_parameter";

  test("is taken with the asked share and without early_data", () => {
    expect(judge(SECOND)).toBe("no refusal");
  });

  test("tls13 4: exactly one share, of the asked group", () => {
    expect(judge(change(SECOND, shares([0x1d, filled(32)])))).toBe(share);
    expect(judge(change(SECOND, shares()))).toBe(share);
    expect(judge(change(SECOND, shares([P256, filled(65)], [0x1d, filled(32)])))).toBe(share);
    expect(judge(change(SECOND, shares([P256, filled(65)], [P256, filled(65)])))).toBe(share);
  });

  test("tls13 4: key_share missing", () => {
    const missing = "missing key_share -> missing_extension";
    expect(judge(without(SECOND, 51, 10))).toBe(missing);
    expect(refusal(() => read(helloBytes({ extensions: without(SECOND, 51) })))).toBe(missing);
  });

  test("tls13 4: early_data present", () => {
    expect(judge(change(SECOND, [42, []])))
      .toBe("second ClientHello with early_data -> illegal_parameter");
  });

  test("tls13 4: a cookie, since we send none", () => {
    expect(judge(change(SECOND, [44, [0, 1, 7]])))
      .toBe("second ClientHello with a cookie -> illegal_parameter");
  });

  const differs = "second ClientHello differs -> illegal_parameter";
  test.each<readonly [string, readonly Ext[], HelloParts]>([
    ["the random", SECOND, { random: filled(32, 1) }],
    ["the session id", SECOND, { sessionId: filled(32, 1) }],
    ["the length of the session id", SECOND, { sessionId: [] }],
    ["the cipher suites", SECOND, { suites: [0x1301, 0x1302] }],
    ["the order of the cipher suites", SECOND, { suites: [0x1302, 0x1301, 0x1303] }],
    ["server_name", change(SECOND, sni("b.example")), {}],
    ["server_name, gone", without(SECOND, 0), {}],
    ["supported_groups", change(SECOND, groups(P256, 0x1d, 0x18)), {}],
    ["signature_algorithms", change(SECOND, schemes(0x0804, 0x0403)), {}],
    ["ALPN", change(SECOND, alpn("h2")), {}],
    ["status_request, gone", without(SECOND, 5), {}],
    ["compress_certificate", change(SECOND, compression(1)), {}],
    ["record_size_limit", change(SECOND, recordSizeLimit(100)), {}],
    ["supported_versions", change(SECOND, versions(0x0304, 0x0303)), {}],
    ["psk_key_exchange_modes", change(SECOND, modes(0, 1)), {}],
    ["ticket_request", change(SECOND, [58, [1, 1]]), {}],
    ["signed_certificate_timestamp, new", change(SECOND, [18, []]), {}],
  ])("tls13 4: another value of %s", (_, extensions, parts) => {
    expect(judge(extensions, parts)).toBe(differs);
  });

  test("tls13 4: what RFC 9846 lets change may change", () => {
    const binders = psks([[filled(30, 2), 99]], [filled(48, 7)]);
    expect(judge(change(SECOND, binders))).toBe("no refusal");
    expect(judge(without(SECOND, 41))).toBe("no refusal");
    expect(judge(change(SECOND, [21, filled(100, 0)]))).toBe("no refusal");
    expect(judge(change(SECOND, [0xfe0d, [0]]))).toBe("no refusal");
  });

  test("tls13 4: unknown extensions are not compared", () => {
    expect(judge([[0x6a6a, [1]], ...without(SECOND, 0x5a5a)])).toBe("no refusal");
  });
});
