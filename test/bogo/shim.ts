#!/usr/bin/env bun
/**
 * A shim for BoringSSL's test runner, BoGo: it speaks TLS 1.3 as a server with `src/tls` alone, no runtime adapter, no
 * edge. README.md says how to run it.
 *
 * Exit codes: 0 all is as expected, 1 it is not (the reason is on stderr), 89 not implemented.
 *
 * @module
 */
import process from "node:process";
import { TlsError } from "../../src/tls/error.ts";
import { exchange } from "./exchange.ts";
import { readFlags, Unimplemented } from "./flags.ts";

async function main(args: readonly string[]): Promise<number> {
  if (args.includes("-is-handshaker-supported")) {
    process.stdout.write("No\n");
    return 0;
  }
  if (!args.includes("-server")) return NOT_IMPLEMENTED; // before anything else: half of BoGo's tests are of clients
  try {
    const { initial, resumed } = readFlags(args);
    const maxVersion = initial.flags.number("-max-version");
    if (maxVersion !== undefined && maxVersion < 0x0304) return NOT_IMPLEMENTED;
    for (let i = 0; i <= (initial.flags.number("-resume-count") ?? 0); i++) {
      await exchange(i === 0 ? initial : resumed, i > 0);
    }
    return 0;
  } catch (error) {
    const text = error instanceof TlsError ? `sotto: ${error.message}` : String(error);
    process.stderr.write(`${text}\n`);
    return error instanceof Unimplemented ? NOT_IMPLEMENTED : 1;
  }
}

const NOT_IMPLEMENTED = 89;

process.exit(await main(process.argv.slice(2)));
