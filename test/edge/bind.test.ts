import process from "node:process";

import { expect, test } from "vitest";

import { bind, BindError } from "../../src/edge/bind.ts";
import type { Listener } from "../../src/runtime/runtime.ts";

/** A machine where `trouble` tells which code a bind ends with; free ports are 5000, 5001, … */
function machine(trouble: (hostname: string, port: number) => string | undefined) {
  const open: string[] = [];
  let free = 5000;
  const listen = (hostname: string, wanted: number): Promise<Listener> => {
    const port = wanted === 0 ? free++ : wanted;
    const code = trouble(hostname, port);
    if (code !== undefined) return Promise.reject(Object.assign(new Error(code), { code }));
    const place = `${hostname}:${port}`;
    open.push(place);
    const stop = () => {
      open.splice(open.indexOf(place), 1);
      return Promise.resolve();
    };
    return Promise.resolve({ hostname, port, stop });
  };
  return { open, listen };
}

const local = {
  addresses: ["127.0.0.1", "::1"],
  option: "https_port in sotto.toml or --https-port N",
};

test("The first port that every address allows is taken", async () => {
  const { open, listen } = machine((_, port) => port < 1024 ? "EACCES" : undefined);
  await bind(listen, { ...local, ports: [443, 8443] });
  expect(open).toEqual(["127.0.0.1:8443", "::1:8443"]);
});

test("A port that only one address allows is given back", async () => {
  const { open, listen } = machine((host, port) =>
    host === "::1" && port === 443 ? "EADDRINUSE" : undefined
  );
  await bind(listen, { ...local, ports: [443, 8443] });
  expect(open).toEqual(["127.0.0.1:8443", "::1:8443"]);
});

test("Port 0 is one free port for every address", async () => {
  const { open, listen } = machine((host, port) =>
    host === "::1" && port < 5002 ? "EADDRINUSE" : undefined
  );
  await bind(listen, { ...local, ports: [0] });
  expect(open).toEqual(["127.0.0.1:5002", "::1:5002"]);
});

test("An address that this machine does not have is passed over, unless it is the only one", async () => {
  const { open, listen } = machine((host) => host === "::1" ? "EADDRNOTAVAIL" : undefined);
  await bind(listen, { ...local, ports: [443] });
  expect(open).toEqual(["127.0.0.1:443"]);
  await expect(bind(listen, { ...local, addresses: ["::1"], ports: [443] })).rejects.toThrow(
    "Cannot listen on [::1]:443: this machine has no such address. " +
      "Name one of its own with listen in sotto.toml or --listen ADDRESS",
  );
});

test("Where :: takes IPv4 as well, nothing of IPv4 is bound beside it, in whatever order", async () => {
  const all = { ...local, addresses: ["0.0.0.0", "::1", "::"], ports: [443] };
  const joined = machine(() => undefined);
  await bind(joined.listen, all, { joinsFamilies: true });
  expect(joined.open).toEqual([":::443", "::1:443"]);
  const apart = machine(() => undefined);
  await bind(apart.listen, all);
  expect(apart.open).toEqual([":::443", "0.0.0.0:443", "::1:443"]);
  const without = machine((host) => host === "::" ? "EAFNOSUPPORT" : undefined);
  await bind(without.listen, all, { joinsFamilies: true });
  expect(without.open).toEqual(["0.0.0.0:443", "::1:443"]);
});

test.each<[string, number, string]>([
  [
    "EADDRINUSE",
    443,
    "another process has it. See which one with: ss -ltnp 'sport = :443'. " +
    "Stop it, or take another port with https_port in sotto.toml or --https-port N",
  ],
  ...["EACCES", "EPERM"].map((code): [string, number, string] => [
    code,
    443,
    "ports below 1024 take the right CAP_NET_BIND_SERVICE, which this user lacks. " +
    "Take another port with https_port in sotto.toml or --https-port N, " +
    "or have the right: in a systemd unit by AmbientCapabilities=CAP_NET_BIND_SERVICE, " +
    "else, for everything that this runtime runs, by: " +
    `sudo setcap cap_net_bind_service=+ep ${process.execPath}`,
  ]),
  ["EACCES", 8443, "the system does not allow it (EACCES)"],
  ["EWHATEVER", 443, "EWHATEVER"],
])("%s for port %i is told with the way out", async (code, port, message) => {
  const { open, listen } = machine(() => code);
  const error = await bind(listen, { ...local, ports: [port] }).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(BindError);
  expect((error as BindError).code).toBe(code);
  expect((error as BindError).message).toBe(`Cannot listen on 127.0.0.1:${port}: ${message}`);
  expect(open).toEqual([]);
});
