import { expect, test } from "vitest";

import { DEFAULT_SITE } from "../../src/config/config.ts";
import { keyOf, type WantedSite } from "../../src/control/site-keys.ts";
import { drawHashKey, type HashKey } from "../../src/snapshot/name-hash.ts";

const site = (more: Partial<WantedSite> = {}): WantedSite => ({
  ...DEFAULT_SITE,
  names: ["a.example"],
  ...more,
});

test("A key says all that a site says, and nothing that is merely missing", () => {
  const seed = drawHashKey();
  const text = (text: string) => site({ handler: { kind: "respond", text } });
  const forward = (checkEveryMs: number) =>
    site({
      handler: { kind: "forward", upstreams: [{ path: "/s" }], proxyProtocol: 0, checkEveryMs },
    });
  const differing = [
    site(),
    site({ names: ["b.example"] }),
    site({ names: ["a.example", "b.example"] }),
    site({ names: ["a.exampleb.example"] }),
    site({ names: ["b.example", "a.example"] }),
    site({ requireEch: true }),
    site({ hosts: { group: "one" } }),
    site({ hosts: { sniHost: "match" } }),
    site({ publicNameOnly: true }),
    text(""),
    text("a"),
    text("ab"),
    text("\u0100"),
    forward(1),
    forward(2 ** 32 + 1),
  ];
  expect(new Set(differing.map((one) => keyOf(one, seed))).size).toBe(differing.length);
  expect(keyOf(site({ clientAuth: undefined }), seed)).toBe(keyOf(site(), seed));
  for (const one of differing) expect(Number.isSafeInteger(keyOf(one, seed))).toBe(true);
});

test("Whoever does not know the seed cannot tell which sites have one key", () => {
  // Sites that differ in what a customer may choose: how far their keys are apart depends on the seed.
  const [a, b] = [site(), site({ names: ["b.example"] })];
  const apart = Array.from({ length: 200 }, (): number => {
    const seed = drawHashKey();
    return keyOf(a, seed) - keyOf(b, seed);
  });
  expect(new Set(apart).size).toBe(apart.length);
});

test("Of many sites that are alike no two have one key, and their keys' bits are good", () => {
  for (const seed of [[0, 0], [1, 0], [0x9e37_79b9, 0x85eb_ca6b]] satisfies HashKey[]) {
    const keys = Array.from(
      { length: 20_000 },
      (_, i) => keyOf(site({ names: [`n${i}.example`] }), seed),
    );
    expect(new Set(keys).size).toBe(keys.length);
    for (
      const half of [(key: number) => key % 2 ** 26, (key: number) => Math.floor(key / 2 ** 27)]
    ) {
      // 20,000 drawn from 2^26: three pairs alike on average
      expect(keys.length - new Set(keys.map(half)).size).toBeLessThan(20);
    }
  }
});
