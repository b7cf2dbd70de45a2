import { writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";

import { expect, test } from "vitest";

import { CliKit } from "./cli-kit.ts";

const cli = new CliKit("families");
const ANY = ["--https-port", "0", "--http-port", "0"];
const hasSix = Object.values(networkInterfaces()).flat().some((one) => one?.address === "::1");

async function accepts(host: string, port: string): Promise<boolean> {
  const socket = connect({ host, port: Number(port) });
  const { promise, resolve } = Promise.withResolvers<boolean>();
  socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
  const isOpen = await promise;
  socket.destroy();
  return isOpen;
}

for (const workers of ["1", "2"]) {
  test(`policy 3.1: with a configuration it serves IPv4 and IPv6, workers = ${workers}`, async () => {
    await writeFile(
      join(cli.folder, "sotto.toml"),
      '[[site]]\nnames = ["localhost"]\nrespond = "both"\n',
    );
    const serving = await cli.serve(["--workers", workers], { ports: ANY });
    expect(await serving.get("localhost")).toBe("both"); // over 127.0.0.1
    for (const port of [serving.https, serving.http]) {
      expect(await accepts("127.0.0.1", port)).toBe(true);
      if (hasSix) expect(await accepts("::1", port)).toBe(true);
    }
    expect(await serving.stop()).toBe(0);
  });

  test(`listen = ["0.0.0.0", "::"] is what the default is, workers = ${workers}`, async () => {
    await writeFile(
      join(cli.folder, "sotto.toml"),
      'listen = ["0.0.0.0", "::"]\n[[site]]\nnames = ["localhost"]\nrespond = "both"\n',
    );
    const serving = await cli.serve(["--workers", workers], { ports: ANY });
    for (const port of [serving.https, serving.http]) {
      expect(await accepts("127.0.0.1", port)).toBe(true);
      if (hasSix) expect(await accepts("::1", port)).toBe(true);
    }
    expect(await serving.stop()).toBe(0);
  });
}
