import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

import { expect, onTestFinished } from "vitest";

import {
  type Config,
  DEFAULT_CONFIG,
  DEFAULT_SITE,
  type SiteOptions,
} from "../../src/config/config.ts";
import { startControlPlane } from "../../src/control/control-plane.ts";
import { hashingConfig, keyOf, wantedSites } from "../../src/control/site-keys.ts";
import { SnapshotFile } from "../../src/control/snapshot-file.ts";
import { openFileStorage } from "../../src/control/storage/files.ts";
import { RespondHandler } from "../../src/edge/handlers/respond.ts";
import type { Tally } from "../../src/edge/counters.ts";
import { LoopLag } from "../../src/edge/loop-lag.ts";
import { SILENT } from "../../src/edge/log.ts";
import { EdgeServer } from "../../src/edge/server.ts";
import { thisRuntime } from "../../src/runtime/detect.ts";
import { drawHashKey } from "../../src/snapshot/name-hash.ts";
import { credentialFromPem } from "../../src/snapshot/credential.ts";
import { type Site, Snapshot } from "../../src/snapshot/snapshot.ts";
import type { ServerConfig } from "../../src/tls/config.ts";
import { testCertificate, testRoot } from "./certificates.ts";
import { testCrypto as crypto } from "./server-config.ts";

const SITES = 100_000;

/** The same objects for all configurations: a heap full of the test's own would be what is measured. */
const all: readonly SiteOptions[] = Array.from({ length: SITES + 1000 }, (_, n) => ({
  ...DEFAULT_SITE,
  names: [`n${n}.many.example`],
  handler: { kind: "respond", text: "" },
}));

/** As many sites, from one number on. */
function configFrom(first: number): Config {
  const ech = { ...DEFAULT_CONFIG.ech, enabled: false };
  return { ...DEFAULT_CONFIG, ech, sites: all.slice(first, first + SITES) };
}

/** What an earlier run has left: every site, with one certificate for all of them. */
async function storeSites(file: SnapshotFile, config: Config): Promise<void> {
  const made = await testCertificate({ names: ["*.many.example"] });
  const credential = credentialFromPem(crypto, {
    id: "all",
    certificatePem: made.chainPem,
    keyPem: made.keyPem,
  });
  const tls = {
    policyId: 0,
    credentials: [credential],
    alpn: ["http/1.1"],
    groups: DEFAULT_SITE.groups,
    clientAuth: undefined,
    tickets: true,
  };
  const keySeed = drawHashKey();
  const sites = Array.from(wantedSites(config), (wanted): Site => ({
    names: wanted.names,
    tls,
    handler: wanted.handler,
    publicNameOnly: false,
    origin: {
      key: keyOf(wanted, keySeed),
      sinceMs: 0,
      dueMs: Infinity,
      flightLength: 1000,
      isManaged: false,
      hasFiles: false,
      hasWarnings: false,
    },
  }));
  const server = {} as ServerConfig;
  await file.write(new Snapshot({ server, sites, keySeed }), {
    createdMs: Date.now(),
    configHash: drained(hashingConfig(config)),
    rootKey: "",
    authorities: "",
    flightPadding: 0,
    ech: undefined,
  });
}

function drained<T>(steps: Generator<void, T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/**
 * ms that nobody else's work is in: while this thread waits for a processor that others have, the clock stands. What it
 * has had of the processor would not do: the kernel counts that by its tick, which is 4 ms. Not on Linux: all ms.
 */
function ownMs(): number {
  let waitedNs = 0;
  try {
    waitedNs = Number(
      readFileSync(`/proc/self/task/${process.pid}/schedstat`, "utf8").split(" ")[1],
    );
  } catch { /* another system */ }
  return performance.now() - waitedNs / 1e6;
}

/** Each lets changes arrive, and returns how late the thread was meanwhile, as LoopLag counts it. */
export interface ServedUnderLoad {
  /** So many sites get another name, one after the other. */
  oneByOne(count: number): Promise<Readonly<Tally>>;
  /** So many configurations, each with 25 sites fewer and 25 others. */
  byConfiguration(count: number): Promise<Readonly<Tally>>;
}

/** A server of 100,000 sites, control plane and data plane on one thread, under handshakes without a pause. */
export async function servedUnderLoad(): Promise<ServedUnderLoad> {
  const folder = await mkdtemp(join(tmpdir(), "sotto-lag-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const data = join(folder, "data");
  const file = new SnapshotFile(data, crypto);
  const config = configFrom(0);
  await storeSites(file, config);
  const trouble: unknown[] = [];
  const plane = await startControlPlane({
    config,
    openStorage: () => openFileStorage(data),
    file,
    crypto,
    keyLog: undefined,
    now: Date.now,
    onTrouble: (error) => void trouble.push(error),
  });
  const edge = new EdgeServer({
    runtime: await thisRuntime(),
    snapshot: plane.snapshot,
    handlers: () => new RespondHandler(""),
    log: SILENT,
  });
  plane.keepFresh((snapshot) => edge.useSnapshot(snapshot));
  const { port } = await edge.listen("127.0.0.1", 0);
  await writeFile(join(folder, "root.pem"), (await testRoot()).pem);
  const names = all.slice(40_000, 40_050).flatMap((site) => site.names);
  const flags = process.versions["deno"] === undefined ? [] : ["run", "-A"];
  const load = spawn(
    process.execPath,
    [
      ...flags,
      "test/support/handshake-load.ts",
      String(port),
      join(folder, "root.pem"),
      ...names,
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  onTestFinished(async () => {
    load.kill();
    plane.stop();
    const stopped = edge.stop();
    edge.abort();
    await stopped;
    await plane.written();
  });
  await once(load.stdout, "data");

  const lateness = async (work: () => Promise<void>): Promise<Tally> => {
    const tally: Tally = {};
    const lag = new LoopLag({ tally, everyMs: 1, now: ownMs });
    lag.start();
    const handshakes = edge.counters.accepted;
    await work();
    lag.stop();
    expect(trouble).toEqual([]);
    const samples = samplesWithin(tally, "more");
    expect(samples).toBeGreaterThan(30);
    expect(edge.counters.accepted - handshakes).toBeGreaterThan(samples / 200);
    return tally;
  };
  let [renamed, first] = [0, 0];
  const served: ServedUnderLoad = {
    oneByOne: (count) =>
      lateness(async () => {
        edge.useSnapshot(plane.snapshot); // none of them has another name yet
        for (let i = 0; i < count; i++) {
          const at = edge.snapshot.slotOf(`n${50_000 + i}.many.example`)!;
          const site = edge.snapshot.slots.get(at)!;
          const changed = { ...site, names: [`new${renamed++}.many.example`] };
          edge.useSnapshot(edge.snapshot.with([[at, undefined], [undefined, changed]]));
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
        expect(edge.snapshot.findText(`new${renamed - 1}.many.example`)).toBeDefined();
      }),
    byConfiguration: (count) =>
      lateness(async () => {
        for (let i = 0; i < count; i++) {
          first += 25;
          await plane.reload(configFrom(first));
          expect(plane.snapshot.findText(`n${SITES + first - 1}.many.example`)).toBeDefined();
          expect(plane.snapshot.findText(`n${first - 1}.many.example`)).toBeUndefined();
        }
      }),
  };
  // Some of both before they count: code that has not been compiled yet takes several times as long.
  await served.oneByOne(50);
  await served.byConfiguration(2);
  return served;
}

/** Samples of a histogram up to a bound in ms. */
export function samplesWithin(tally: Readonly<Tally>, bound: number | "more"): number {
  let samples = 0;
  for (const [label, count] of Object.entries(tally)) {
    if (bound === "more" || Number(label) <= bound) samples += count;
  }
  return samples;
}
