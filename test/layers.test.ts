import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";

import { expect, test } from "vitest";

/**
 * The picture in ARCHITECTURE.md as data: what a folder of src/ may import besides itself. A path that ends in a slash
 * is a folder with all that is in it, `npm:` stands for packages. What is not here may not be imported.
 */
const MAY_IMPORT: Record<string, Rule> = {
  // Bytes in, Output out: nothing of the world, not even node's modules.
  tls: { types: ["crypto/crypto.ts"] },
  runtime: { any: ["node:", "npm:@hono/node-server"] },
  crypto: { any: ["node:", "npm:@noble/"] },
  x509: {
    any: ["node:", "npm:@peculiar/x509", "npm:reflect-metadata"],
    types: ["crypto/crypto.ts", "tls/config.ts", "tls/output.ts"],
  },
  client: {
    any: ["tls/", "x509/", "node:", "npm:hpke-js"],
    types: ["crypto/crypto.ts", "runtime/runtime.ts"],
  },
  snapshot: {
    any: ["x509/", "tls/credential.ts", "tls/suites.ts", "tls/wire/code-points.ts"],
    types: ["tls/", "crypto/crypto.ts"],
  },
  http: { any: ["node:"], types: ["runtime/runtime.ts"] },
  // The data plane: no file, no CA, no schedule.
  edge: {
    any: ["tls/", "snapshot/", "http/", "x509/", "node:"],
    types: ["runtime/runtime.ts", "crypto/crypto.ts"],
  },
  config: {
    any: [
      "tls/limits.ts",
      "tls/wire/",
      "edge/limits.ts",
      "edge/upstreams/limits.ts",
      "x509/names.ts",
      "node:",
      "npm:smol-toml",
      "npm:toml-eslint-parser",
      "npm:zod",
    ],
    types: ["tls/config.ts", "snapshot/snapshot.ts", "snapshot/forward-spec.ts"],
  },
  // The control plane: no client's socket, hence nothing of edge/.
  control: {
    any: [
      "snapshot/",
      "x509/",
      "crypto/crypto.ts",
      "tls/",
      "config/",
      "runtime/collector.ts",
      "node:",
      "npm:zod",
      "npm:hpke-js",
      "npm:@peculiar/x509",
      "npm:reflect-metadata",
    ],
  },
  // Between the two planes where they are processes: neither a client's socket nor a CA.
  workers: {
    any: [
      "edge/limited-log.ts",
      "control/server-config.ts",
      "control/snapshot-file.ts",
      "snapshot/",
      "tls/",
      "node:",
      "npm:zod",
    ],
    types: ["edge/", "crypto/crypto.ts"],
  },
  // What has this machine trust a root: programs are run, certificates are only read.
  trust: { any: ["x509/", "node:"], types: ["control/storage/storage.ts"] },
  admin: {
    any: ["control/", "snapshot/", "tls/", "npm:hono"],
    types: ["edge/handlers/handler.ts"],
  },
  cli: {
    any: [
      "config/",
      "control/",
      "edge/",
      "tls/",
      "trust/",
      "x509/",
      "node:",
      "open-control.ts",
      "start.ts",
      "../package.json",
    ],
    types: ["runtime/runtime.ts", "snapshot/snapshot.ts"],
  },
  // Where things are wired together: start.ts and mod.ts.
  ".": { any: ["*"] },
};

/** `any`: values and types. */
interface Rule {
  readonly any?: readonly string[];
  readonly types?: readonly string[];
}

/** Implementations, and the only files outside their folder that name them. */
const NAMED_ONLY_IN: Record<string, readonly string[]> = {
  "runtime/bun.ts": [],
  "runtime/deno.ts": [],
  "runtime/node.ts": [],
  "runtime/detect.ts": ["start.ts", "supervise.ts", "worker.ts"],
  "crypto/native.ts": [],
  "crypto/noble.ts": [],
  "crypto/wasm.ts": [],
  "crypto/wasm-module.ts": [],
  "crypto/foreign.ts": [],
  "crypto/libcrypto.ts": [],
  "crypto/ipsec-mb.ts": ["open-control.ts"],
  "crypto/openssl.ts": ["open-control.ts"],
  "crypto/choose.ts": ["open-control.ts", "signer-thread.ts"],
  "control/storage/files.ts": ["open-control.ts", "cli/ech-list.ts", "cli/local-roots.ts"],
};

const src = join(import.meta.dirname, "../src");

test("src/ follows the picture in ARCHITECTURE.md", () => {
  const strays: string[] = [];
  for (const file of sources()) {
    for (const found of importsOf(readFileSync(join(src, file), "utf8"))) {
      if (!isAllowed(file, found)) strays.push(`${file}: ${found.specifier}`);
    }
  }
  expect(strays).toEqual([]);
});

test("Implementations are named only where things are wired together", () => {
  const strays: string[] = [];
  for (const file of sources()) {
    for (const { specifier } of importsOf(readFileSync(join(src, file), "utf8"))) {
      const target = targetOf(file, specifier);
      const allowed = NAMED_ONLY_IN[target];
      if (allowed === undefined || folderOf(target) === folderOf(file)) continue;
      if (!allowed.includes(file)) strays.push(`${file}: ${specifier}`);
    }
  }
  expect(strays).toEqual([]);
});

test("Every folder of src/ is in the picture", () => {
  expect([...new Set(sources().map(folderOf))].filter((folder) => !(folder in MAY_IMPORT)))
    .toEqual([]);
});

test("The picture is read from every form of import", () => {
  const text = `
    import a from "./a.ts";
    import type { B } from "./b.ts";
    import { type C, type D } from "./c.ts";
    import {
      type E,
      f,
    } from "./e.ts";
    import "./g.ts";
    export { h } from "./h.ts";
    export * from "./i.ts";
    const j = await import("./j.ts");
    // import k from "./k.ts";
    /* import l from "./l.ts"; */
    import m, { n } from "./m.ts";
  `;
  expect(importsOf(text)).toEqual([
    { specifier: "./a.ts", typeOnly: false },
    { specifier: "./b.ts", typeOnly: true },
    { specifier: "./c.ts", typeOnly: true },
    { specifier: "./e.ts", typeOnly: false },
    { specifier: "./g.ts", typeOnly: false },
    { specifier: "./h.ts", typeOnly: false },
    { specifier: "./i.ts", typeOnly: false },
    { specifier: "./m.ts", typeOnly: false },
    { specifier: "./j.ts", typeOnly: false },
  ]);
});

interface Import {
  readonly specifier: string;
  readonly typeOnly: boolean;
}

function importsOf(text: string): Import[] {
  const code = text.replaceAll(/\/\*[^]*?\*\//g, "").replaceAll(/^\s*\/\/.*$/gm, "");
  const found: Import[] = [];
  const statements =
    /^\s*(?:import|export)\s+(?:((?:type\s+)?[\w$*{}\s,]+?)\s+from\s+)?["']([^"']+)["']/gm;
  for (const [, what = "", specifier] of code.matchAll(statements)) {
    found.push({ specifier: specifier!, typeOnly: isTypeOnly(what.trim()) });
  }
  for (const [, specifier] of code.matchAll(/\bimport\(\s*["']([^"']+)["']/g)) {
    found.push({ specifier: specifier!, typeOnly: false });
  }
  return found;
}

/** @param what what stands between `import` and `from` */
function isTypeOnly(what: string): boolean {
  if (what.startsWith("type ")) return true;
  const names = /^\{([^]*)\}$/.exec(what)?.[1]?.split(",").map((name) => name.trim());
  return names !== undefined && names.every((name) => name === "" || name.startsWith("type "));
}

function isAllowed(file: string, { specifier, typeOnly }: Import): boolean {
  const target = targetOf(file, specifier);
  const folder = folderOf(file);
  if (folderOf(target) === folder && folder !== ".") return true;
  const rule = MAY_IMPORT[folder] ?? {};
  const allowed = typeOnly ? [...rule.any ?? [], ...rule.types ?? []] : rule.any ?? [];
  return allowed.some((entry) =>
    entry === "*" || entry === target || target.startsWith(`${entry}/`) ||
    (/[/:]$/.test(entry) && target.startsWith(entry))
  );
}

/** A path below src/, `node:…` or `npm:…`. */
function targetOf(file: string, specifier: string): string {
  if (specifier.startsWith(".")) {
    return relative(src, join(src, dirname(file), specifier)).replaceAll(sep, "/");
  }
  return specifier.startsWith("node:") ? specifier : `npm:${specifier}`;
}

function folderOf(path: string): string {
  return /^(?:node|npm):/.test(path) || !path.includes("/") ? "." : path.split("/")[0]!;
}

/** Below src/, with slashes. */
function sources(): string[] {
  return readdirSync(src, { recursive: true, encoding: "utf8" })
    .filter((file) => /\.tsx?$/.test(file))
    .map((file) => file.replaceAll(sep, "/"));
}
