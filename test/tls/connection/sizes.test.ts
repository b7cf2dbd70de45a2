import { describe, expect, test } from "vitest";
import type { SiteConfig } from "../../../src/tls/config.ts";
import { TICKET_LENGTH } from "../../../src/tls/tickets.ts";
import { testCertificate } from "../../support/certificates.ts";
import { Pair, type PairOptions } from "../../support/pair.ts";
import { testCredential, type TestServer, testServer } from "../../support/server-config.ts";
import { recordSizes } from "./kit.ts";

/** Two sites behind one public name that have nothing in common but that. */
async function twoSites(): Promise<{ server: TestServer; sites: Record<string, SiteConfig> }> {
  const server = await testServer({
    ech: true,
    server: { flightPadding: 4096 },
    alpn: ["h2", "http/1.1"],
    compression: [1],
  });
  const root = await testCertificate({ issuer: "self", isCa: true, subject: "CN=Test Root" });
  const middle = await testCertificate({
    kind: "rsa",
    isCa: true,
    subject: "CN=Middle",
    issuer: root,
  });
  const names = ["an.extraordinarily.long.name.of.the.second.site.example", "x.second.example"];
  const long = await testCertificate({ kind: "rsa", names, issuer: middle });
  const first = server.site;
  const second: SiteConfig = {
    ...first,
    policyId: 77,
    credentials: [testCredential(long, { ocspResponse: new Uint8Array(600) })],
    alpn: ["http/1.1"],
  };
  return { server, sites: { "a.example": first, [names[0]!]: second } };
}

/** Sizes of all records of a handshake with each of them, tickets and all. */
async function sizes(options: (name: string) => PairOptions["client"]): Promise<number[][]> {
  const { server, sites } = await twoSites();
  const all: number[][] = [];
  for (const [name, site] of Object.entries(sites)) {
    const pair = await Pair.connect({
      server,
      client: { alpn: ["h2", "http/1.1"], ech: true, serverName: name, ...options(name) },
      chooseSite: () => site,
    });
    expect(pair.negotiated).toMatchObject({ serverName: name, alpn: site.alpn![0] });
    await pair.tickets();
    all.push(recordSizes(pair.serverWire));
  }
  return all;
}

describe("ech 10: nothing that goes over the wire tells two sites apart by its size", () => {
  const flows: readonly (readonly [string, PairOptions["client"]])[] = [
    ["a full handshake", {}],
    ["a HelloRetryRequest", { keyShares: [] }],
    ["staples asked for", { ocsp: true, scts: true }],
    ["compression asked for", { compression: [1], ocsp: true }],
    ["another suite", { suites: [0x1302] }],
    ["ChaCha20", { suites: [0x1303] }],
    ["small records", { recordSizeLimit: 1000 }],
    ["smaller records", { recordSizeLimit: 64 }],
  ];
  test.each(flows)("%s", async (_, client) => {
    const [first, second] = await sizes(() => client);
    expect(second).toEqual(first);
  });

  test("a resumption", async () => {
    const { server, sites } = await twoSites();
    const seen: number[][] = [];
    for (const [serverName, site] of Object.entries(sites)) {
      const options = { server, chooseSite: () => site };
      const client = { ech: true, serverName, alpn: ["http/1.1"] } as const;
      const sessions = await (await Pair.connect({ ...options, client })).tickets();
      const pair = await Pair.connect({ ...options, client: { ...client, sessions } });
      expect(pair.negotiated?.resumed).toBe(true);
      await pair.tickets();
      seen.push(recordSizes(pair.serverWire));
    }
    expect(seen[1]).toEqual(seen[0]);
  });

  test("a rejected offer has an accepted one's sizes", async () => {
    const server = await testServer({ ech: true, server: { flightPadding: 4096 } });
    const accepted = await Pair.connect({ server, client: { ech: true } });
    const grease = await Pair.connect({ server, client: { ech: "grease" } });
    expect(recordSizes(grease.serverWire)).toEqual(recordSizes(accepted.serverWire));
  });

  test("a site that asks for client certificates, too", async () => {
    const { server, sites } = await twoSites();
    const [site] = Object.values(sites);
    const flight = async (site: SiteConfig) => {
      const pair = await Pair.connect({ server, client: { ech: true }, chooseSite: () => site });
      return recordSizes(pair.serverWire);
    };
    const asking = { ...site!, clientAuth: { mode: "request", authorities: [] } as const };
    expect(await flight(asking)).toEqual(await flight(site!));
  });

  test("the flight is one record of the padding's size, whatever is in it", async () => {
    const [sizesOfOne] = await sizes(() => ({}));
    expect(sizesOfOne!.slice(2, 3)).toEqual([5 + 4096 + 1 + 16]);
  });

  test("tickets are of one size, whatever is in them", async () => {
    for (const client of [{ suites: [0x1301] }, { suites: [0x1302], alpn: ["h2"] }]) {
      const pair = await Pair.connect({ server: { alpn: ["h2"] }, client });
      for (const { ticket } of await pair.tickets()) expect(ticket.length).toBe(TICKET_LENGTH);
    }
  });
});

test("a flight that does not fit one step of the padding is two, and says so by its size", async () => {
  const server = await testServer({ server: { flightPadding: 512 } });
  const pair = await Pair.connect({ server });
  const flight = recordSizes(pair.serverWire)[2]! - 22;
  expect(flight % 512).toBe(0);
  expect(flight).toBeGreaterThan(512);
});
