#!/usr/bin/env bun
/**
 * sotto: TLS 1.3 with Encrypted Client Hello, in front of your sites.
 *
 * `run` loads the configuration and hands it to `src/start.ts`, which picks runtime and crypto and starts both planes.
 * From there: `src/edge/session.ts`, `src/tls/connection.ts`, `src/tls/handshake.ts`.
 *
 * @module
 */
import process from "node:process";

import { type Command, parseCommandLine, USAGE } from "./src/cli/arguments.ts";
import { explain } from "./src/cli/explain.ts";
import { beginWithAllocatorSettings } from "./src/runtime/allocator.ts";

async function main(command: Command): Promise<void> {
  switch (command.name) {
    case "run":
      beginWithAllocatorSettings();
      return await (await import("./src/cli/run.ts")).run(command);
    case "ech list":
      return await (await import("./src/cli/ech-list.ts")).echList(command);
    case "validate":
      return await (await import("./src/cli/validate.ts")).validate(command);
    case "trust":
      return await (await import("./src/cli/trust.ts")).trust(command);
    case "untrust":
      return await (await import("./src/cli/untrust.ts")).untrust(command);
    case "root-cert":
      return await (await import("./src/cli/root-cert.ts")).rootCert(command);
    case "reload":
      return await (await import("./src/cli/reload.ts")).reload(command);
    case "schema":
      return (await import("./src/cli/schema.ts")).printSchema();
    case "version":
      return (await import("./src/cli/version.ts")).version();
    case "help":
      process.stdout.write(USAGE);
  }
}

try {
  await main(parseCommandLine(process.argv.slice(2)));
} catch (error) {
  process.stderr.write(explain(error));
  process.exit(1);
}
