import { expect, test } from "vitest";
import { parseConfig } from "../../src/config/load.ts";
import { serverConfig } from "../../src/control/server-config.ts";
import { chooseCrypto } from "../../src/crypto/choose.ts";
import { freshTicketKey, TicketKeys } from "../../src/tls/tickets.ts";

const AES_128 = 0x1301;
const AES_256 = 0x1302;
const CHACHA20 = 0x1303;

test.each([
  ["bun", [AES_128, AES_256, CHACHA20]],
  ["node", [AES_128, AES_256, CHACHA20]],
  ["deno", [CHACHA20, AES_128, AES_256]],
])("policy 5: on %s the suites stand in the order %j", async (runtime, suites) => {
  const crypto = chooseCrypto({ runtime, openssl: null, ipsecMb: null });
  const config = await parseConfig('[[site]]\nnames = ["a.test"]\nrespond = "hi"', "/sotto.toml");
  const tickets = new TicketKeys(crypto, [freshTicketKey(crypto, 0)], 3600);
  const parts = { config, crypto, keyLog: undefined, ech: undefined, tickets };
  expect(serverConfig(parts, 0).suites).toEqual(suites);
});
