import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { chooseCrypto } from "../../src/crypto/choose.ts";
import {
  decodeTicketKeys,
  encodeTicketKeys,
  freshTicketKey,
  rotate,
  TICKET_LENGTH,
  TicketKeys,
  type TicketState,
} from "../../src/tls/tickets.ts";
import { bytes, zeros } from "./record-kit.ts";

const crypto = chooseCrypto();
const NOW = 1_790_000_000_123;
const INFO = new TextEncoder().encode("sotto ticket 1");

function state(changes: Partial<TicketState> = {}): TicketState {
  return {
    suite: 0x1302,
    psk: zeros(48).fill(3),
    createdMs: NOW,
    authenticatedSeconds: 1_789_999_999,
    lifetimeSeconds: 129_600,
    ageAdd: 0xfedcba98,
    serverNameHash: zeros(32).fill(4),
    alpn: "h2",
    policyId: 0x80000001,
    echAccepted: true,
    ...changes,
  };
}

const key = freshTicketKey(crypto, NOW);
const tickets = new TicketKeys(crypto, [key], 3600);

/** A ticket of `key` around any state bytes, sealed as tls13-server §7.1 says. */
function ticketAround(stateBytes: Uint8Array): Uint8Array {
  const seed = crypto.random(32);
  const info = bytes(INFO, seed);
  const first = crypto.hmac("sha256", key.key, bytes(info, [1]));
  const second = crypto.hmac("sha256", key.key, bytes(first, info, [2]));
  const aad = bytes(key.name, seed);
  const sealed = zeros(stateBytes.length + 16);
  crypto.aead("aes-256-gcm", first).seal(second.subarray(0, 12), aad, stateBytes, sealed, 0);
  return bytes(aad, sealed);
}

/** The state of a ticket of `key`, taken apart as tls13-server §7.1 says. */
function stateIn(ticket: Uint8Array): Uint8Array {
  const aad = ticket.subarray(0, 48);
  const info = bytes(INFO, ticket.subarray(16, 48));
  const first = crypto.hmac("sha256", key.key, bytes(info, [1]));
  const second = crypto.hmac("sha256", key.key, bytes(first, info, [2]));
  const aead = crypto.aead("aes-256-gcm", first);
  return aead.open(second.subarray(0, 12), aad, ticket.subarray(48))!.slice();
}

const states = fc.record({
  suite: fc.integer({ min: 0, max: 0xffff }),
  psk: fc.oneof(...[32, 48].map((n) => fc.uint8Array({ minLength: n, maxLength: n }))),
  createdMs: fc.integer({ min: 0, max: 2 ** 52 }),
  authenticatedSeconds: fc.integer({ min: 0, max: 2 ** 40 }),
  lifetimeSeconds: fc.integer({ min: 0, max: 604800 }),
  ageAdd: fc.integer({ min: 0, max: 0xffffffff }),
  serverNameHash: fc.uint8Array({ minLength: 32, maxLength: 32 }),
  alpn: fc.option(
    fc.array(fc.integer({ min: 0, max: 255 }), { minLength: 1, maxLength: 32 })
      .map((codes) => String.fromCharCode(...codes)),
    { nil: undefined },
  ),
  policyId: fc.integer({ min: 0, max: 0xffffffff }),
  echAccepted: fc.boolean(),
});

describe("seal and open", () => {
  test("tls13 7.1: what was sealed comes back, and every ticket is of one size", () => {
    fc.assert(
      fc.property(states, (state) => {
        const ticket = tickets.seal(state);
        expect(ticket.length).toBe(TICKET_LENGTH);
        expect(tickets.open(ticket)).toEqual(state);
      }),
    );
  });

  test("tls13 7.1: a ticket is key_name, seed, and a state under a key of its own", () => {
    const a = tickets.seal(state());
    const b = tickets.seal(state());
    expect(a.slice(0, 16)).toEqual(key.name);
    expect(a.slice(16, 48)).not.toEqual(b.slice(16, 48));
    expect(stateIn(a)).toEqual(stateIn(b));
    expect(stateIn(a)[0]).toBe(1);
    expect(tickets.open(ticketAround(stateIn(a)))).toEqual(state());
  });

  test("tls13 7.1: an ALPN name of 32 bytes is stored, a longer one never matches", () => {
    const longest = "x".repeat(32);
    expect(tickets.open(tickets.seal(state({ alpn: longest })))!.alpn).toBe(longest);
    const longer = tickets.seal(state({ alpn: "x".repeat(33) }));
    expect(longer.length).toBe(TICKET_LENGTH);
    expect(tickets.open(longer)!.alpn).toBe("");
    expect(tickets.open(tickets.seal(state({ alpn: undefined })))!.alpn).toBeUndefined();
  });

  test("tls13 7.1: an unknown format version is an unknown ticket", () => {
    const known = stateIn(tickets.seal(state()));
    for (const version of [0, 2, 255]) {
      expect(tickets.open(ticketAround(bytes([version], known.slice(1))))).toBeUndefined();
    }
  });

  test("tls13 7.1: a PSK length that no suite has is an unknown ticket", () => {
    const known = stateIn(tickets.seal(state()));
    for (const length of [0, 31, 49, 255]) {
      const odd = known.slice();
      odd[3] = length;
      expect(tickets.open(ticketAround(odd))).toBeUndefined();
    }
  });

  test("tls13 7.1: a ticket that was changed anywhere is unknown", () => {
    const ticket = tickets.seal(state());
    for (let at = 0; at < ticket.length; at++) {
      const changed = ticket.slice();
      changed[at]! ^= 0x10;
      expect(tickets.open(changed)).toBeUndefined();
    }
  });

  test("tls13 7.1: every prefix of a ticket, and one byte more, is unknown", () => {
    const ticket = tickets.seal(state());
    for (let end = 0; end < ticket.length; end++) {
      expect(tickets.open(ticket.subarray(0, end))).toBeUndefined();
    }
    expect(tickets.open(bytes(ticket, [0]))).toBeUndefined();
  });

  test("tls13 7.1: a stranger's ticket is unknown without any work for the AEAD", () => {
    const ticket = new TicketKeys(crypto, [freshTicketKey(crypto, NOW)], 3600).seal(state());
    const idle = { ...crypto, hmac: () => expect.unreachable(), aead: () => expect.unreachable() };
    expect(new TicketKeys(idle, [key], 3600).open(ticket)).toBeUndefined();
  });

  test("tls13 7.1: another key under the same name does not open it", () => {
    const other = { ...freshTicketKey(crypto, NOW), name: key.name };
    expect(new TicketKeys(crypto, [other], 3600).open(tickets.seal(state()))).toBeUndefined();
  });

  test("tls13 7.1: arbitrary identities are unknown", () => {
    const identity = fc.oneof(
      fc.uint8Array({ maxLength: 400 }),
      fc.uint8Array({ minLength: TICKET_LENGTH - 16, maxLength: TICKET_LENGTH - 16 })
        .map((rest) => bytes(key.name, rest)),
    );
    fc.assert(fc.property(identity, (identity) => tickets.open(identity) === undefined));
  });

  test("TicketKeys keeps nothing of the identity: it may change", () => {
    const ticket = tickets.seal(state());
    const opened = tickets.open(ticket);
    ticket.fill(0);
    tickets.open(tickets.seal(state({ psk: zeros(32), serverNameHash: zeros(32) })));
    expect(opened).toEqual(state());
  });

  test("TicketKeys refuses what it cannot store", () => {
    expect(() => tickets.seal(state({ psk: zeros(33) }))).toThrow(RangeError);
    expect(() => tickets.seal(state({ serverNameHash: zeros(31) }))).toThrow(RangeError);
  });

  test("TicketKeys refuses no key, keys of the wrong size, and lifetimes over 7 days", () => {
    expect(() => new TicketKeys(crypto, [], 3600)).toThrow(RangeError);
    expect(() => new TicketKeys(crypto, [{ ...key, key: zeros(16) }], 3600)).toThrow(RangeError);
    expect(() => new TicketKeys(crypto, [{ ...key, name: zeros(15) }], 3600)).toThrow(RangeError);
    for (const lifetime of [0, -1, 604801, NaN]) {
      expect(() => new TicketKeys(crypto, [key], lifetime)).toThrow(RangeError);
    }
    expect(new TicketKeys(crypto, [key], 604800).lifetimeSeconds).toBe(604800);
  });
});

describe("generations", () => {
  const keys = Array.from({ length: 6 }, (_, i) => freshTicketKey(crypto, NOW + i));

  test("tls13 7.1: the first key seals, all of them open", () => {
    const old = new TicketKeys(crypto, [keys[0]!], 3600).seal(state());
    const both = new TicketKeys(crypto, [keys[1]!, keys[0]!], 3600);
    expect(both.open(old)).toEqual(state());
    expect(both.seal(state()).slice(0, 16)).toEqual(keys[1]!.name);
    expect(new TicketKeys(crypto, [keys[1]!], 3600).open(old)).toBeUndefined();
  });

  test("tls13 7.1: rotate puts the next one first and drops what is older than the generations", () => {
    let live = [keys[0]!];
    for (const next of keys.slice(1)) live = rotate(live, next, 4);
    expect(live).toEqual([keys[5], keys[4], keys[3], keys[2]]);
    expect(rotate(live, keys[0]!, 1)).toEqual([keys[0]]);
  });

  test("tls13 7.1: a key that was accepted before it issues moves to the front", () => {
    const accepting = [keys[1]!, keys[2]!, keys[0]!];
    expect(rotate(accepting, keys[2]!, 4)).toEqual([keys[2], keys[1], keys[0]]);
  });

  test("freshTicketKey makes a name and a key of its own each time", () => {
    const [a, b] = keys;
    expect([a!.name.length, a!.key.length, a!.createdMs]).toEqual([16, 32, NOW]);
    expect(a!.name).not.toEqual(b!.name);
    expect(a!.key).not.toEqual(b!.key);
  });
});

describe("storage", () => {
  const keys = [freshTicketKey(crypto, NOW), freshTicketKey(crypto, 0)];

  test("decodeTicketKeys reads what encodeTicketKeys wrote", () => {
    expect(decodeTicketKeys(encodeTicketKeys(keys))).toEqual(keys);
    expect(decodeTicketKeys(encodeTicketKeys([]))).toEqual([]);
  });

  test("decodeTicketKeys refuses every part of it, one byte more, and another version", () => {
    const stored = encodeTicketKeys(keys);
    const whole = [1, 1 + 56, stored.length];
    for (let end = 0; end < stored.length; end++) {
      if (whole.includes(end)) continue;
      expect(() => decodeTicketKeys(stored.subarray(0, end))).toThrow(RangeError);
    }
    expect(() => decodeTicketKeys(bytes(stored, [0]))).toThrow(RangeError);
    expect(() => decodeTicketKeys(bytes([2], stored.subarray(1)))).toThrow(RangeError);
  });
});
