import { describe, expect, test } from "vitest";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ALERT_FOR, type Reason, TlsError } from "../../../src/tls/error.ts";
import { hello, plaintextRecords } from "../../support/hello-builder.ts";
import { Pair } from "../../support/pair.ts";
import { feed, recordsOf } from "../../support/raw-server.ts";
import { testServer } from "../../support/server-config.ts";
import {
  clientCertificate,
  clientSends,
  DATA,
  echo,
  expectEnd,
  flipped,
  HANDSHAKE_STATES,
  restIn,
  signedBy,
} from "./kit.ts";

const BAD_KEY_UPDATE = Uint8Array.of(24, 0, 0, 1, 9);

describe("where an alert goes", () => {
  test("tls13 5.1: before ServerHello in clear", async () => {
    const fed = feed(await testServer(), plaintextRecords(hello({ versions: [] })));
    expect(fed.records).toEqual([21]);
  });

  test("tls13 5.1: after a HelloRetryRequest in clear, still", async () => {
    const first = plaintextRecords(hello({ keyShares: [] }));
    const fed = feed(await testServer(), [first, plaintextRecords(hello({ versions: [] }))]);
    expect(fed.records).toEqual([22, 20, 21]);
    expect(fed.alert).toBe("decode_error");
  });

  test("tls13 5.1: after ServerHello under handshake keys: the flight never came about", async () => {
    const server = await testServer({ slowSigner: true });
    const pair = await Pair.attempt({ server, signature: () => "fail" });
    expect(pair.clientError).toMatchObject({
      alertReceived: "internal_error",
      alertReceivedUnder: "handshake",
    });
    expect(recordsOf(pair.serverWire).map(({ type }) => type)).toEqual([22, 20, 23]);
    expect(pair.output.sent.length).toBe(1);
  });

  test("tls13 5.1: a signer that throws at once is no different", async () => {
    const server = await testServer();
    const [credential] = server.site.credentials;
    const cause = new Error("no key");
    const broken = signedBy(credential!, () => {
      throw cause;
    });
    const pair = await Pair.attempt({
      server: { ...server, site: { ...server.site, credentials: [broken] } },
    });
    expectEnd(pair, "signer failed", "internal_error", "handshake");
    expect(pair.serverError?.cause).toBe(cause);
  });

  test("tls13 5.1: after our Finished under application keys, whatever is read by then", async () => {
    const pair = await Pair.attempt({
      client: {
        hooks: { beforeRecord: (record) => record[0] === 23 ? flipped(record, 6) : record },
      },
    });
    expectEnd(pair, "bad record MAC", "bad_record_mac", "application");
  });

  test("tls13 5.1: after our KeyUpdate under the new key", async () => {
    const pair = await Pair.connect();
    pair.client.records.queue(22, Uint8Array.of(24, 0, 0, 1, 1));
    pair.client.useNextWriteKeys();
    await clientSends(pair, 22, BAD_KEY_UPDATE);
    expect(pair.client.keyUpdates.received).toBe(1);
    expectEnd(pair, "bad KeyUpdate", "illegal_parameter", "application");
  });

  test("tls13 5.1: after everything that was queued before it", async () => {
    const pair = await Pair.connect();
    pair.output.plaintext = () => pair.server.send(DATA.slice(), 0, 3);
    pair.client.records.queue(23, DATA);
    await clientSends(pair, 22, BAD_KEY_UPDATE);
    expect([...(await pair.client.read())!]).toEqual([...DATA]);
    expectEnd(pair, "bad KeyUpdate", "illegal_parameter", "application");
  });

  test("tls13 5.1: once, and never in answer to an alert", async () => {
    const pair = await Pair.connect();
    await clientSends(pair, 22, BAD_KEY_UPDATE);
    const flights = pair.output.sent.length;
    expect(() => pair.server.receive(Uint8Array.of(21, 3, 3), pair.nowMs)).toThrow(TlsError);
    expect(pair.output.sent.length).toBe(flights);
    const other = await Pair.connect();
    const before = other.output.sent.length;
    await clientSends(other, 21, Uint8Array.of(2, 40));
    expect(other.output.sent.length).toBe(before);
  });

  test.each(HANDSHAKE_STATES)("tls13 5.1: in %s under the keys of its own side", async (state) => {
    const pair = await restIn(state);
    pair.server.fail("internal error");
    const record = recordsOf(pair.output.sent.at(-1)!).at(-1)!;
    const inClear = state === "ExpectClientHello" || state === "AwaitSite" ||
      state === "ExpectSecondClientHello";
    expect([record.type, record.fragment.length]).toEqual(inClear ? [21, 2] : [23, 2 + 1 + 16]);
  });

  test("policy 8.10: without ECH no alert is padded", async () => {
    const pair = await Pair.attempt({
      server: { slowSigner: true, server: { flightPadding: 4096 } },
      signature: () => "fail",
    });
    expect(recordsOf(pair.serverWire).at(-1)!.fragment.length).toBe(2 + 1 + 16);
  });

  test("tls13 5.1: the level is fatal, but for close_notify", async () => {
    const refused = feed(await testServer(), plaintextRecords(hello({ versions: [] })));
    expect([...refused.output.sent[0]!]).toEqual([21, 3, 3, 0, 2, 2, 50]);
    const closed = feed(await testServer(), [
      plaintextRecords(hello({ keyShares: [] })),
      Uint8Array.of(21, 3, 3, 0, 2, 1, 0),
    ]);
    expect([...closed.output.sent.at(-1)!.subarray(-7)]).toEqual([21, 3, 3, 0, 2, 1, 0]);
  });
});

test("a client that shows a certificate can still read what is wrong", async () => {
  const pair = await Pair.attempt({
    server: { clientAuth: "require_and_verify" },
    client: { certificate: await clientCertificate() },
    verdict: () => ({ refuse: "unknown CA" }),
  });
  expectEnd(pair, "unknown CA", "unknown_ca", "application");
  await echo(await Pair.connect());
});

describe("the table of error.ts", () => {
  const folder = import.meta.dirname;
  const source = readdirSync(folder).filter((name) =>
    name.endsWith(".test.ts") && name !== "alerts.test.ts"
  )
    .map((name) => readFileSync(join(folder, name), "utf8")).join("\n");

  /** Met elsewhere, since no connection that can be made here gets that far. */
  const ELSEWHERE: Readonly<Partial<Record<Reason, string>>> = {
    "bad certificate status type":
      "test/tls/wire/messages.test.ts: we never ask a client for a staple",
    "repeated certificate extension":
      "test/tls/wire/messages.test.ts: we never ask a client for any",
  };

  test("every reason is named by another file of this folder, or said to be met elsewhere (a search of their text)", () => {
    const missing = (Object.keys(ALERT_FOR) as Reason[]).filter((reason) =>
      !source.includes(`"${reason}"`) && ELSEWHERE[reason] === undefined
    );
    expect(missing).toEqual([]);
  });
});
