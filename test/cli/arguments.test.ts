import { expect, test } from "vitest";

import { parseCommandLine, type SiteArguments, UsageError } from "../../src/cli/arguments.ts";

const nothing = {
  config: undefined,
  data: undefined,
  site: undefined,
  listen: [],
  httpPort: undefined,
  httpsPort: undefined,
  readyFile: undefined,
  log: undefined,
  keyLog: undefined,
  takeover: false,
};

test("Without a word it runs", () => {
  expect(parseCommandLine([])).toEqual({ name: "run", ...nothing });
  expect(parseCommandLine(["run"])).toEqual({ name: "run", ...nothing });
});

test("Every option of run arrives", () => {
  expect(
    parseCommandLine(
      ("--config a.toml --data=d --listen 127.0.0.1 --listen ::1 --http-port 0 --https-port 8443 " +
        "--ready-file r.json --log json --key-log k.log --takeover").split(" "),
    ),
  ).toEqual({
    name: "run",
    config: "a.toml",
    data: "d",
    site: undefined,
    listen: ["127.0.0.1", "::1"],
    httpPort: 0,
    httpsPort: 8443,
    readyFile: "r.json",
    log: "json",
    keyLog: "k.log",
    takeover: true,
  });
});

test("One site without a file", () => {
  const site = (...args: string[]) =>
    (parseCommandLine(args) as { readonly site?: SiteArguments }).site;
  expect(site("--domain", "a.example", "--domain=b.example")).toEqual({
    names: ["a.example", "b.example"],
    to: undefined,
  });
  expect(site("run", "--from", "a.example", "--to", "unix:/s")).toEqual({
    names: ["a.example"],
    to: "unix:/s",
  });
});

test("The other commands", () => {
  expect(parseCommandLine(["reload", "--data", "d"])).toEqual({
    name: "reload",
    config: undefined,
    data: "d",
  });
  expect(parseCommandLine(["schema"])).toEqual({ name: "schema" });
  expect(parseCommandLine(["ech", "list", "--data", "d"])).toEqual({
    name: "ech list",
    config: undefined,
    data: "d",
  });
  expect(parseCommandLine(["validate", "--limits", "--config", "c"])).toEqual({
    name: "validate",
    config: "c",
    data: undefined,
    limits: true,
  });
  expect(parseCommandLine(["trust", "--dry-run", "--data", "d"])).toEqual({
    name: "trust",
    data: "d",
    dryRun: true,
  });
  expect(parseCommandLine(["untrust", "--cert", "root.crt"])).toEqual({
    name: "untrust",
    data: undefined,
    dryRun: false,
    certificate: "root.crt",
  });
  expect(parseCommandLine(["root-cert"])).toEqual({ name: "root-cert", data: undefined });
  expect(parseCommandLine(["version"])).toEqual({ name: "version" });
  for (
    const args of [["help"], ["--help"], ["run", "-h"], ["ech", "list", "--help"], ["trust", "-h"]]
  ) {
    expect(parseCommandLine(args)).toEqual({ name: "help" });
  }
});

test.each([
  [
    ["rum"],
    'unknown command "rum", accepted: run, ech list, validate, reload, schema, trust, untrust, root-cert, version, help; did you mean "run"?',
  ],
  [["ech"], "ech wants a word behind it, accepted: list"],
  [["ech", "lst"], "ech wants a word behind it, accepted: list"],
  [
    ["--conifg", "x"],
    /^unknown option --conifg, accepted: --config, .*; did you mean "--config"\?$/,
  ],
  [["--prot", "x"], /did you mean "--http-port" or "--https-port"\?$/],
  [["--port", "x"], /did you mean "--http-port" or "--https-port"\?$/],
  [["--redy-file", "x"], /did you mean "--ready-file"\?$/],
  [["--ready", "x"], /did you mean "--ready-file"\?$/],
  [["--form", "x"], /did you mean "--from"\?$/],
  [["--wrokers=2"], /did you mean "--workers"\?$/],
  [["--verbose"], /^unknown option --verbose, accepted: [^?]*$/],
  [["version", "--data", "x"], "unknown option --data, accepted: no options"],
  [["run", "extra"], /extra/],
  [["--http-port", "65536"], '--http-port "65536" is no port, accepted: 0 to 65535'],
  [["--https-port", "-1"], /--https-port/],
  [["--https-port", "x"], '--https-port "x" is no port, accepted: 0 to 65535'],
  [["--https-port=0x1"], '--https-port "0x1" is no port, accepted: 0 to 65535'],
  [["--listen", "localhost"], /is no IP address.*localhost is 127\.0\.0\.1 and ::1$/],
  [["--log", "xml"], '--log "xml" is unknown, accepted: pretty, json'],
  [["--data="], "--data wants a path behind it"],
  [["--from", "a.example"], /^--from wants --to beside it/],
  [["--to", "app:1"], /^--to wants --from beside it/],
  [["--domain", "a", "--to", "app:1"], /^--domain goes without --from and --to/],
  [["--domain", "a", "--config", "c"], /^--domain stands in place of a configuration file/],
  [["--from", "a", "--to", "b:1", "--config", "c"], /^--from stands in place/],
  [["--config"], /--config/],
])("%j is refused", (args, message) => {
  expect(() => parseCommandLine(args)).toThrow(UsageError);
  expect(() => parseCommandLine(args)).toThrow(message);
});
