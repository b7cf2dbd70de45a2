import { beforeAll, describe, expect, test } from "vitest";

import { chooseCrypto } from "../../src/crypto/choose.ts";
import { Checksum } from "../../src/snapshot/checksum.ts";
import { SiteClientAuth } from "../../src/snapshot/client-auth.ts";
import {
  decodeSnapshot,
  encodeSnapshot,
  type SnapshotFacts,
  SnapshotFormatError,
} from "../../src/snapshot/codec.ts";
import { credentialFromPem, SiteCredential } from "../../src/snapshot/credential.ts";
import { PackedSites } from "../../src/snapshot/packed-sites.ts";
import { DamagedSiteError, type Site, Snapshot } from "../../src/snapshot/snapshot.ts";
import type { ServerConfig } from "../../src/tls/config.ts";
import { ServerCredential } from "../../src/tls/credential.ts";
import { SCHEME_NAMES } from "../../src/tls/suites.ts";
import { NamedGroup } from "../../src/tls/wire/code-points.ts";
import { clientPoolFromPem } from "../../src/x509/chain.ts";
import { type Made, make } from "../x509/make.ts";

const crypto = chooseCrypto();
const server = {} as ServerConfig; // never looked into
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

let root: Made, middle: Made, leafA: Made, leafB: Made;
beforeAll(async () => {
  root = await make({ subject: "CN=root", ca: true });
  middle = await make({ subject: "CN=middle", ca: true, issuer: root });
  const leaf = (name: string) =>
    make({ subject: "CN=x", issuer: middle, names: [{ type: "dns", value: name }] });
  [leafA, leafB] = await Promise.all([leaf("a.example"), leaf("b.example")]);
});

function credential(leaf: Made, id: string): SiteCredential {
  return credentialFromPem(crypto, {
    id,
    certificatePem: leaf.pem + middle.pem,
    keyPem: leaf.keyPem,
    origin: "operator",
  });
}

const facts: SnapshotFacts = {
  createdMs: 1_900_000_000_000,
  configHash: "abc",
  authorities: "def",
  rootKey: "pki/authorities/local/root-2.crt",
  flightPadding: 2048,
  ech: {
    state: "active",
    keys: [{
      privateKey: Uint8Array.of(1, 2, 255),
      config: Uint8Array.of(0xfe, 0x0d, 0),
      retry: true,
      createdMs: 5,
    }],
  },
};

function snapshot(): Snapshot {
  const tls = { policyId: 7, groups: [NamedGroup.x25519], tickets: true } as const;
  const a: Site = {
    names: ["a.example", "*.a.example", "::1"],
    tls: {
      ...tls,
      credentials: [credential(leafA, "a")],
      alpn: ["http/1.1"],
      clientAuth: undefined,
    },
    handler: { kind: "respond", text: "é\n" },
    publicNameOnly: false,
  };
  const b: Site = {
    names: ["b.example"],
    tls: {
      ...tls,
      credentials: [credential(leafB, "b"), credential(leafA, "other")],
      alpn: undefined,
      clientAuth: new SiteClientAuth("verify_if_given", clientPoolFromPem(root.pem)),
      tickets: false,
    },
    handler: { kind: "app", app: "welcome" },
    publicNameOnly: false,
  };
  const pub: Site = { ...a, names: ["cover.example"], publicNameOnly: true };
  const gone: Site = { ...a, names: ["gone.example"] };
  return new Snapshot({ server, sites: [a, gone, b, pub], fallbackSni: "b.example" })
    .with([[1, undefined]]);
}

function encoded(): Uint8Array {
  return Uint8Array.from(
    [...encodeSnapshot(crypto, snapshot(), facts)].flatMap((part) => [...part]),
  );
}

/** Its bytes are no site's any more. */
function damage(snapshot: Snapshot, name: string): void {
  const { base } = snapshot.slots;
  (base as PackedSites).siteBytes(snapshot.slotOf(name)!)!.fill(0xff);
}

describe("A snapshot", () => {
  test("comes back from its bytes as it was, free places and changes included", () => {
    const wanted = snapshot();
    const { table, defaultSni, fallbackSni, ...rest } = decodeSnapshot(crypto, encoded());
    expect(rest).toEqual(facts);
    expect([defaultSni, fallbackSni]).toEqual([undefined, "b.example"]);
    const got = new Snapshot({ server, sites: [], defaultSni, fallbackSni }, table);
    const plain = (site: Site | undefined) =>
      site && {
        ...site,
        tls: {
          ...site.tls,
          credentials: site.tls.credentials.map((one) => {
            const { id, chain, schemes, names, origin, notBeforeMs, notAfterMs, keyPem } =
              one as SiteCredential;
            const ders = chain.map((der) => Buffer.from(der).toString("hex"));
            return { id, ders, schemes, names, origin, notBeforeMs, notAfterMs, keyPem };
          }),
          clientAuth: site.tls.clientAuth && {
            mode: site.tls.clientAuth.mode,
            anchors: (site.tls.clientAuth as SiteClientAuth).pool.anchors.map(({ der }) =>
              Buffer.from(der).toString("hex")
            ),
            authorities: site.tls.clientAuth.authorities.map((name) => [...name]),
          },
        },
      };
    expect(got.slots.toArray().map(plain)).toEqual(wanted.slots.toArray().map(plain));
    for (const name of ["A.example", "x.a.example", "::1", "b.example", "gone.example", "q"]) {
      expect(got.find(bytes(name))?.names, name).toEqual(wanted.find(bytes(name))?.names);
    }
  });

  test("keeps what its sites' keys were made with", () => {
    const kept = snapshot();
    const file = Buffer.concat([...encodeSnapshot(crypto, kept, facts)]);
    const { table } = decodeSnapshot(crypto, new Uint8Array(file));
    expect(table.slots.keySeed).toEqual(kept.slots.keySeed);
    expect(table.slots.with(new Map()).keySeed).toEqual(kept.slots.keySeed);
    expect(snapshot().slots.keySeed).not.toEqual(kept.slots.keySeed);
  });

  test("has its names where they were, as seen from the lines of the processor's caches", () => {
    for (let length = 0; length < 64; length += 7) {
      const configHash = "é".repeat(length);
      const file = Buffer.concat([...encodeSnapshot(crypto, snapshot(), { ...facts, configHash })]);
      const { table, ...read } = decodeSnapshot(crypto, Uint8Array.from(file));
      expect(read.configHash).toBe(configHash);
      expect(table.index.base.toBytes().byteOffset % 64).toBe(0);
    }
  });

  test("has each certificate once", () => {
    const { table } = decodeSnapshot(crypto, encoded());
    const [a, , b] = table.slots.toArray().map((site) => site?.tls.credentials ?? []);
    expect(a![0]!.chain[1]).toBe(b![0]!.chain[1]);
    expect(b![1]!.chain[1]).toBe(b![0]!.chain[1]);
  });

  test("has a handler that several sites have as one object, and says it no more than twice", () => {
    const [a] = snapshot().sites;
    const handler = (text: string) => ({ kind: "respond", text }) as const;
    const texts = ["same", "same", "other", "same"];
    const sites = texts.map((text, i) => ({ ...a!, names: [`${i}.x`], handler: handler(text) }));
    const file = Buffer.concat([
      ...encodeSnapshot(crypto, new Snapshot({ server, sites }), facts),
    ]);
    const { table } = decodeSnapshot(crypto, Uint8Array.from(file));
    const read = table.slots.toArray().map((site) => site!.handler);
    expect(read).toEqual(texts.map(handler));
    expect(read[1]).toBe(read[3]);
    expect(file.toString("latin1").split('"same"').length - 1).toBe(2);
  });

  test("signs with keys that are read when they are first needed", () => {
    const { table } = decodeSnapshot(crypto, encoded());
    const [read] = table.slots.get(0)!.tls.credentials;
    const [scheme] = read!.schemes;
    const signature = read!.sign!(scheme!, bytes("content"));
    expect(
      crypto.verify(
        SCHEME_NAMES.get(scheme!)!,
        leafA.certificate.spki,
        bytes("content"),
        signature,
      ),
    )
      .toBe(true);
  });

  test("that is damaged, cut or longer is refused", () => {
    const whole = encoded();
    const refused = (changed: Uint8Array) =>
      expect(() => decodeSnapshot(crypto, changed)).toThrow(SnapshotFormatError);
    for (let length = 0; length < whole.length; length += length < 400 ? 1 : 97) {
      refused(whole.subarray(0, length));
    }
    refused(Uint8Array.of(...whole, 0));
    for (let at = 0; at < whole.length; at += 41) {
      const changed = whole.slice();
      changed[at]! ^= 0x20;
      refused(changed);
    }
  });

  test("of which any byte of its frame is another is refused: head, sections, sums, length", () => {
    const whole = encoded();
    const places = [
      ...Array.from({ length: 200 }, (_, i) => i),
      ...Array.from({ length: 120 }, (_, i) => whole.length - 1 - i),
    ];
    for (const at of places) {
      for (const flip of [1, 0x80]) {
        const changed = whole.slice();
        changed[at]! ^= flip;
        expect(() => decodeSnapshot(crypto, changed), `byte ${at}`).toThrow(SnapshotFormatError);
      }
    }
  });

  test("whose checksum is right but not what is in it is refused, or has no such site", () => {
    const whole = encoded();
    const content = whole.subarray(0, whole.length - 40 - 32 * Math.ceil(whole.length / 65_600));
    const names = ["a.example", "x.a.example", "b.example", "cover.example"].map(bytes);
    for (let at = 8; at < content.length; at += 23) {
      const changed = content.slice();
      changed[at]! ^= 0xff;
      const checksum = new Checksum(crypto);
      checksum.update(changed);
      const file = Uint8Array.of(...changed, ...checksum.finish());
      let snapshot: Snapshot;
      try {
        const { table, defaultSni, fallbackSni } = decodeSnapshot(crypto, file);
        snapshot = new Snapshot({ server, sites: [], defaultSni, fallbackSni }, table);
      } catch (error) {
        expect(error).toBeInstanceOf(SnapshotFormatError);
        continue;
      }
      for (const name of names) {
        try {
          snapshot.find(name);
        } catch (error) {
          expect(error).toBeInstanceOf(DamagedSiteError);
        }
      }
    }
  });

  test("that is damaged in memory has no such site, and says so; others are served", () => {
    const { table, fallbackSni } = decodeSnapshot(crypto, encoded());
    const damaged = new Snapshot({ server, sites: [], fallbackSni }, table);
    damage(damaged, "a.example");
    for (const name of ["a.example", "x.a.example", "::1"]) {
      expect(() => damaged.find(bytes(name)), name).toThrow(DamagedSiteError);
      expect(damaged.findText(name)).toBeUndefined();
    }
    expect(damaged.find(bytes("b.example"))?.names).toEqual(["b.example"]);
    expect(damaged.find(bytes("other.example"))?.names).toEqual(["b.example"]);
    const slot = damaged.slotOf("a.example")!;
    expect([slot, 2].map((slot) => damaged.slots.isDamaged(slot))).toEqual([true, false]);

    const names = ["a.example", "new.example"];
    const mended = damaged.with([[slot, { ...damaged.findText("b.example")!, names }]]);
    expect(mended.find(bytes("a.example"))?.names).toEqual(names);
    expect(mended.slots.isDamaged(slot)).toBe(false);
    // What else it was called is gone.
    for (const name of ["x.a.example", "::1"]) {
      expect(mended.find(bytes(name))?.names, name).toEqual(["b.example"]);
    }
    expect(damaged.with([[slot, undefined]]).slotOf("a.example")).toBeUndefined();
  });

  test("that is damaged where its default_sni or only site lies serves nobody without a name", () => {
    const { table } = decodeSnapshot(crypto, encoded());
    const parts = { server, sites: [], defaultSni: "a.example" };
    const damaged = new Snapshot(parts, table);
    damage(damaged, "a.example");
    expect(() => damaged.findWithoutName("127.0.0.1")).toThrow(DamagedSiteError);
  });

  test("of another version is refused, though its checksum is right", () => {
    const changed = encoded();
    changed.set(bytes("sottosn1"));
    expect(() => decodeSnapshot(crypto, changed)).toThrow("it is no snapshot of this version");
  });

  test("cannot be written with a key that is elsewhere", () => {
    const { chain, schemes, notAfterMs } = credential(leafA, "near");
    const far = new ServerCredential({ id: "far", chain, schemes, sign: undefined, notAfterMs });
    const site = snapshot().sites[0]!;
    const sites = [{ ...site, tls: { ...site.tls, credentials: [far] } }];
    expect(() => [...encodeSnapshot(crypto, new Snapshot({ server, sites }), facts)])
      .toThrow("Cannot write far: its key is elsewhere");
  });
});
