import { describe, expect, test } from "vitest";
import type { ClientSession } from "../../../src/client/client.ts";
import { MAX_SESSION_SECONDS } from "../../../src/tls/negotiate.ts";
import { freshTicketKey, rotate, TICKET_LENGTH, TicketKeys } from "../../../src/tls/tickets.ts";
import { NamedGroup } from "../../../src/tls/wire/code-points.ts";
import { decodeServerHello } from "../../../src/tls/wire/server-hello.ts";
import { ext } from "../../support/hello-builder.ts";
import { Pair, type PairOptions } from "../../support/pair.ts";
import { recordsOf } from "../../support/raw-server.ts";
import { START_MS, testCrypto, type TestServer, testServer } from "../../support/server-config.ts";
import { echo, expectEnd, firstMessage, flipped, sessionsOf } from "./kit.ts";

const DAY_MS = 86_400_000;

/** Offers `sessions` to `server`: whether they were taken, and what came of it. */
async function offer(
  server: TestServer,
  sessions: readonly ClientSession[],
  options: PairOptions = {},
): Promise<Pair> {
  const pair = await Pair.connect({
    ...options,
    server,
    client: { sessions, ...options.client },
  });
  expect(pair.client.negotiated.resumed).toBe(pair.negotiated?.resumed);
  await echo(pair);
  return pair;
}

/** The same ticket of which nobody knows anything. */
const stranger = (session: ClientSession): ClientSession => ({
  ...session,
  ticket: new Uint8Array(session.ticket.length).fill(7),
});

describe("tickets", () => {
  test("tls13 7: two after a full handshake, one after a resumption, of one size, all good", async () => {
    const server = await testServer();
    const sessions = await sessionsOf(server);
    expect(sessions.map(({ ticket }) => ticket.length)).toEqual([TICKET_LENGTH, TICKET_LENGTH]);
    expect(sessions[0]!.psk).not.toEqual(sessions[1]!.psk);
    expect(sessions[0]!.ageAdd).not.toBe(sessions[1]!.ageAdd);
    expect(sessions[0]!.lifetimeSeconds).toBeLessThanOrEqual(604_800);
    for (const session of sessions) {
      const pair = await offer(server, [session]);
      expect(pair.negotiated?.resumed).toBe(true);
      expect((await pair.tickets()).length).toBe(1);
    }
  });

  test("tls13 7: a ticket may be used again", async () => {
    const server = await testServer();
    const [session] = await sessionsOf(server);
    for (let i = 0; i < 3; i++) {
      expect((await offer(server, [session!])).negotiated?.resumed).toBe(true);
    }
  });

  test("tls13 7: they ride behind the first data, or go at an idle moment, once", async () => {
    const pair = await Pair.connect();
    await pair.settle();
    expect(pair.client.sessions).toEqual([]);
    await echo(pair);
    expect(pair.client.sessions.length).toBe(2);
    expect((await pair.tickets()).length).toBe(2);
    pair.server.closeWrite();
    await pair.settle();
    expect(pair.client.sessions.length).toBe(2);
  });

  test.each([
    [{ newSessionCount: 0, resumptionCount: 0 }, 0, 0],
    [{ newSessionCount: 1, resumptionCount: 0 }, 1, 0],
    [{ newSessionCount: 2, resumptionCount: 2 }, 2, 2],
    [{ newSessionCount: 255, resumptionCount: 255 }, 2, 2],
  ])(
    "tls13 7: asked for %j, they are %i, and %i after a resumption",
    async (ticketRequest, full, again) => {
      const server = await testServer();
      const sessions = await sessionsOf(server);
      const first = await Pair.connect({ server, client: { ticketRequest } });
      expect(first.client.negotiated.expectedTickets).toBe(full);
      expect((await first.tickets()).length).toBe(full);
      const second = await offer(server, sessions, { client: { ticketRequest } });
      expect(second.client.negotiated).toMatchObject({ resumed: true, expectedTickets: again });
      expect((await second.tickets()).length).toBe(again);
    },
  );

  test.each([[[0]], [[0x7f]], [[0, 0x0b]]])(
    "tls13 7: for modes %j alone there are none, and none is taken",
    async (pskModes) => {
      const server = await testServer();
      const sessions = await sessionsOf(server);
      const pair = await offer(server, sessions, { client: { pskModes } });
      expect(pair.negotiated?.resumed).toBe(false);
      expect(await pair.tickets()).toEqual([]);
    },
  );

  test("tls13 7: unknown modes beside psk_dhe_ke are ignored", async () => {
    const server = await testServer();
    const sessions = await sessionsOf(server, { client: { pskModes: [0x7f, 1, 0] } });
    const pair = await offer(server, sessions, { client: { pskModes: [0x0b, 1] } });
    expect(pair.negotiated?.resumed).toBe(true);
  });

  test("tls13 7: a server or a site without tickets issues none and takes none", async () => {
    const server = await testServer();
    const sessions = await sessionsOf(server);
    for (
      const without of [
        { ...server, config: { ...server.config, tickets: undefined } },
        { ...server, site: { ...server.site, tickets: false } },
      ]
    ) {
      const pair = await offer(without, sessions);
      expect(pair.negotiated?.resumed).toBe(false);
      expect(await pair.tickets()).toEqual([]);
    }
  });
});

describe("a resumption", () => {
  test("tls13 7: ServerHello selects the identity and has a share; no certificate follows", async () => {
    const server = await testServer({ alpn: ["h2"], ocspResponse: Uint8Array.of(1) });
    const [session] = await sessionsOf(server);
    const pair = await offer(server, [stranger(session!), session!], {
      client: { alpn: ["h2"], ocsp: true },
    });
    const answer = decodeServerHello(firstMessage(pair.output.sent[0]!));
    expect(answer.selectedIdentity).toBe(1);
    expect(answer.keyShare?.group).toBe(NamedGroup.x25519);
    expect(pair.client.negotiated).toMatchObject({
      peerChain: [],
      signatureScheme: undefined,
      alpn: "h2",
    });
    expect(pair.negotiated).toMatchObject({ resumed: true, signatureScheme: undefined });
  });

  test("tls13 2: server_name is not acknowledged then", async () => {
    const server = await testServer();
    const pair = await offer(server, await sessionsOf(server));
    expect(pair.client.negotiated.serverNameUsed).toBe(false);
    expect(pair.negotiated?.serverName).toBe("a.example");
  });

  test.each([[0x1301, 0x1303], [0x1303, 0x1301]])(
    "tls13 7: from suite %i with %i, of the same hash",
    async (first, second) => {
      const server = await testServer();
      const sessions = await sessionsOf(server, { client: { suites: [first] } });
      const pair = await offer(server, sessions, { client: { suites: [second] } });
      expect(pair.negotiated).toMatchObject({ resumed: true, cipherSuite: second });
    },
  );

  test.each([[0x1301, 0x1302], [0x1302, 0x1301]])(
    "tls13 7: from suite %i with %i, of another hash, is a full handshake",
    async (first, second) => {
      const server = await testServer();
      const sessions = await sessionsOf(server, { client: { suites: [first] } });
      const pair = await offer(server, sessions, { client: { suites: [second] } });
      expect(pair.negotiated).toMatchObject({ resumed: false, cipherSuite: second });
    },
  );

  test("tls13 7: the suite is chosen first, then the first PSK whose hash fits", async () => {
    const server = await testServer();
    const [sha256] = await sessionsOf(server, { client: { suites: [0x1301] } });
    const [sha384] = await sessionsOf(server, { client: { suites: [0x1302] } });
    const pair = await offer(server, [sha384!, sha256!]);
    expect(pair.negotiated).toMatchObject({ resumed: true, cipherSuite: 0x1301 });
    expect(decodeServerHello(firstMessage(pair.output.sent[0]!)).selectedIdentity).toBe(1);
  });

  test("tls13 2: ALPN is negotiated afresh", async () => {
    const server = await testServer({ alpn: ["h2", "http/1.1"] });
    const sessions = await sessionsOf(server, { client: { alpn: ["h2"] } });
    const pair = await offer(server, sessions, { client: { alpn: ["http/1.1"] } });
    expect(pair.negotiated).toMatchObject({ resumed: true, alpn: "http/1.1" });
    const refused = await Pair.attempt({ server, client: { sessions, alpn: ["spdy/1"] } });
    expectEnd(refused, "no application protocol in common", "no_application_protocol", "plaintext");
  });

  test("tls13 2: no signature_algorithms are needed for it, and they are where it fails", async () => {
    const server = await testServer();
    const [session] = await sessionsOf(server);
    const hooks = {
      hello: (fields: { extensions: readonly (readonly [number, Uint8Array])[] | undefined }) => ({
        ...fields,
        extensions: fields.extensions!.filter(([type]) => type !== 13),
      }),
    } as NonNullable<PairOptions["client"]>["hooks"] & object;
    expect((await offer(server, [session!], { client: { hooks } })).negotiated?.resumed).toBe(true);
    const pair = await Pair.attempt({ server, client: { sessions: [stranger(session!)], hooks } });
    expectEnd(pair, "missing signature_algorithms", "missing_extension", "plaintext");
  });
});

describe("what a ticket is bound to", () => {
  test("tls13 7: the name, whatever its case", async () => {
    const server = await testServer();
    const sessions = await sessionsOf(server);
    const same = await offer(server, sessions, {
      client: { serverName: undefined, extensions: [ext.serverName("A.Example")] },
    });
    expect(same.negotiated?.resumed).toBe(true);
    for (const serverName of ["b.example", undefined]) {
      const other = await offer(server, sessions, { client: { serverName } });
      expect(other.negotiated?.resumed).toBe(false);
    }
    const nameless = await sessionsOf(server, { client: { serverName: undefined } });
    expect((await offer(server, nameless)).negotiated?.resumed).toBe(false);
    const again = await offer(server, nameless, { client: { serverName: undefined } });
    expect(again.negotiated?.resumed).toBe(true);
  });

  test("tls13 7: the policy of its site", async () => {
    const server = await testServer();
    const sessions = await sessionsOf(server);
    const pair = await offer({ ...server, site: { ...server.site, policyId: 2 } }, sessions);
    expect(pair.negotiated?.resumed).toBe(false);
  });

  test("tls13 7: a site that is still served", async () => {
    const server = await testServer();
    const sessions = await sessionsOf(server);
    const pair = await Pair.attempt({
      server,
      client: { sessions },
      chooseSite: () => ({ refuse: "unrecognized name" }),
    });
    expectEnd(pair, "unrecognized name", "unrecognized_name", "plaintext");
  });

  test("tls13 7: its lifetime, to the millisecond", async () => {
    const server = await testServer();
    const sessions = await sessionsOf(server);
    const lifetime = sessions[0]!.lifetimeSeconds * 1000;
    const last = await offer(server, sessions, { nowMs: START_MS + lifetime });
    expect(last.negotiated?.resumed).toBe(true);
    const late = await offer(server, sessions, { nowMs: START_MS + lifetime + 1 });
    expect(late.negotiated?.resumed).toBe(false);
  });

  test("tls13 14.1: the full handshake at its root: a chain of resumptions ends after 7 days", async () => {
    const base = await testServer();
    const tickets = new TicketKeys(testCrypto, [freshTicketKey(testCrypto, START_MS)], 604_800);
    const server = { ...base, config: { ...base.config, tickets } };
    let sessions = await sessionsOf(server);
    for (let day = 1; day <= 6; day++) {
      const pair = await offer(server, sessions, { nowMs: START_MS + day * DAY_MS });
      expect(pair.negotiated?.resumed).toBe(true);
      sessions = await pair.tickets();
    }
    // The ticket of day 6 is good for 7 more days; the session is not.
    const root = Math.floor(START_MS / 1000);
    const end = (root + MAX_SESSION_SECONDS) * 1000;
    expect((await offer(server, sessions, { nowMs: end })).negotiated?.resumed).toBe(true);
    const late = await offer(server, sessions, { nowMs: end + 1 });
    expect(late.negotiated?.resumed).toBe(false);
    // A full handshake is a new root.
    sessions = await late.tickets();
    const next = await offer(server, sessions, { nowMs: end + DAY_MS });
    expect(next.negotiated?.resumed).toBe(true);
  });

  test("tls13 7.1: a key that is kept, and no longer", async () => {
    const base = await testServer();
    const keys = [freshTicketKey(testCrypto, START_MS)];
    const withKeys = (keys: TicketKeys["keys"]): TestServer => ({
      ...base,
      config: { ...base.config, tickets: new TicketKeys(testCrypto, keys, 86_400) },
    });
    const sessions = await sessionsOf(withKeys(keys));
    const two = rotate(keys, freshTicketKey(testCrypto, START_MS), 2);
    expect((await offer(withKeys(two), sessions)).negotiated?.resumed).toBe(true);
    const gone = rotate(two, freshTicketKey(testCrypto, START_MS), 2);
    expect((await offer(withKeys(gone), sessions)).negotiated?.resumed).toBe(false);
  });
});

describe("tickets that are none", () => {
  test("tls13 7: a ticket changed anywhere is a full handshake, without a word", async () => {
    const server = await testServer();
    const [session] = await sessionsOf(server);
    for (const at of [0, 15, 16, 47, 48, -17, -1]) {
      const changed = { ...session!, ticket: flipped(session!.ticket, at) };
      expect((await offer(server, [changed])).negotiated?.resumed).toBe(false);
    }
    for (const ticket of [Uint8Array.of(1), session!.ticket.slice(1), new Uint8Array(1000)]) {
      expect((await offer(server, [{ ...session!, ticket }])).negotiated?.resumed).toBe(false);
    }
  });

  test("tls13 14.1 maxPskIdentities: 4 are opened, the rest is passed over", async () => {
    const server = await testServer();
    const [session] = await sessionsOf(server);
    const other = stranger(session!);
    const fourth = await offer(server, [other, other, other, session!]);
    expect(fourth.negotiated?.resumed).toBe(true);
    const fifth = await offer(server, [other, other, other, other, session!]);
    expect(fifth.negotiated?.resumed).toBe(false);
    const many = await offer(server, [session!, ...Array<ClientSession>(40).fill(other)]);
    expect(many.negotiated?.resumed).toBe(true);
  });
});

describe("the binder", () => {
  async function binding(
    change: (hello: Uint8Array) => Uint8Array,
    others: (session: ClientSession) => ClientSession[] = (session) => [session],
    suites: readonly number[] = [0x1301],
  ): Promise<Pair> {
    const server = await testServer();
    const [session] = await sessionsOf(server, { client: { suites } });
    return await Pair.attempt({
      server,
      client: {
        suites,
        sessions: others(session!),
        hooks: { beforeSend: (message, type) => type === 1 ? change(message) : message },
      },
    });
  }

  test.each([0x1301, 0x1302, 0x1303])(
    "tls13 7: a wrong one is decrypt_error, suite %i",
    async (suite) => {
      const pair = await binding((message) => flipped(message, -1), (session) => [session], [
        suite,
      ]);
      expectEnd(pair, "incorrect binder", "decrypt_error", "plaintext");
      expect(recordsOf(pair.serverWire).length).toBe(1);
    },
  );

  test("tls13 7: it covers the hello from its first byte on", async () => {
    const pair = await binding((message) => flipped(message, 10)); // the random
    expectEnd(pair, "incorrect binder", "decrypt_error", "plaintext");
  });

  test.each([31, 33, 1, 0, 48])("tls13 7: one of %i bytes is decrypt_error", async (length) => {
    const pair = await binding((message) => withBinder(message, new Uint8Array(length)));
    expectEnd(pair, "incorrect binder", "decrypt_error", "plaintext");
  });

  test("tls13 7: only the chosen one is looked at", async () => {
    const change = (message: Uint8Array) => flipped(message, -1); // of the last identity
    const taken = await binding(change, (session) => [session, stranger(session)]);
    expect(taken.negotiated?.resumed).toBe(true);
    const first = await binding(change, (session) => [stranger(session), session]);
    expectEnd(first, "incorrect binder", "decrypt_error", "plaintext");
  });

  test("tls13 7: those of unknown tickets are not looked at", async () => {
    const server = await testServer();
    const [session] = await sessionsOf(server);
    const pair = await offer(server, [{ ...stranger(session!), psk: new Uint8Array(32) }]);
    expect(pair.negotiated?.resumed).toBe(false);
  });

  test("tls13 7: a wrong one of a ticket that does not fit is not looked at", async () => {
    const server = await testServer();
    const [session] = await sessionsOf(server);
    const wrong = { ...session!, psk: new Uint8Array(32) };
    const pair = await offer(server, [wrong], { client: { serverName: "b.example" } });
    expect(pair.negotiated?.resumed).toBe(false);
    const used = await Pair.attempt({ server, client: { sessions: [wrong] } });
    expectEnd(used, "incorrect binder", "decrypt_error", "plaintext");
  });

  test("tls13 7: a ticket shown without its secret is of no use", async () => {
    const server = await testServer();
    const [a, b] = await sessionsOf(server);
    const pair = await Pair.attempt({ server, client: { sessions: [{ ...a!, psk: b!.psk }] } });
    expectEnd(pair, "incorrect binder", "decrypt_error", "plaintext");
  });
});

/** The hello with that one binder of one in its place. */
function withBinder(message: Uint8Array, binder: Uint8Array): Uint8Array {
  const more = binder.length - 32;
  const bytes = new Uint8Array(message.length + more);
  bytes.set(message.subarray(0, message.length - 33));
  bytes[message.length - 33] = binder.length;
  bytes.set(binder, message.length - 32);
  const u16 = (at: number) => (bytes[at]! << 8) | bytes[at + 1]!;
  const add = (at: number) => bytes.set([(u16(at) + more) >> 8, (u16(at) + more) & 255], at);
  add(2); // of the message, below 2^16
  add(message.length - 35); // of the binders
  let at = 39 + bytes[38]!;
  at += 2 + u16(at);
  at += 1 + bytes[at]!;
  add(at); // of the extensions
  at += 2;
  while (u16(at) !== 41) at += 4 + u16(at + 2);
  add(at + 2);
  return bytes;
}
