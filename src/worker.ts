/**
 * One worker: a process with a data plane and nothing else. Its one argument is the socket of its supervisor, from which
 * it gets all it needs; should the supervisor die, it serves on with what it has.
 * @module
 */
import { connect } from "node:net";
import { join } from "node:path";
import process from "node:process";

import { openKeyLog } from "./cli/key-log.ts";
import { openLog } from "./cli/log.ts";
import { markWorker } from "./control/worker-marks.ts";
import { warmUp } from "./crypto/warm-up.ts";
import { DataPlane } from "./data-plane.ts";
import { bind, BindError, type Listen } from "./edge/bind.ts";
import type { Log } from "./edge/log.ts";
import { Questions } from "./edge/questions.ts";
import { cryptoOfProcess, messageOf, publishedEch } from "./open-control.ts";
import { placeOf } from "./ports.ts";
import { thisRuntime } from "./runtime/detect.ts";
import { assumeUser } from "./runtime/privileges.ts";
import { SigningKeys } from "./snapshot/signing-keys.ts";
import { Channel } from "./workers/channel.ts";
import { DEFAULT_WORKER_LIMITS } from "./workers/limits.ts";
import {
  type DownMessage,
  downMessage,
  MAX_DOWN_BYTES,
  type StartMessage,
  type UpMessage,
  type WorkerState,
} from "./workers/messages.ts";
import { StateReader } from "./workers/state-reader.ts";
import { Uplink } from "./workers/uplink.ts";

process.umask(0o077);
// A terminal sends these to everybody in it: the supervisor decides.
for (const signal of ["SIGINT", "SIGHUP", "SIGUSR2"] as const) process.on(signal, () => {});
process.on("SIGTERM", () => void end());
// Whoever read it may be gone.
process.stderr.on("error", () => {});

const crypto = cryptoOfProcess();
const ownLog = openLog({
  form: "json",
  write: (text) => void process.stderr.write(text),
  now: Date.now,
});
const channel: Channel<DownMessage, UpMessage> = new Channel({
  socket: connect(process.argv[2] ?? ""),
  maxBytes: MAX_DOWN_BYTES,
  parse: (value) => downMessage.parse(value),
  onMessage: (message) => told(message),
  onClose: (why) => alone(why),
});
const uplink = new Uplink({ channel, ownLog });
let mayServeAlone = false;
let isEnding = false;
let serving: Serving | undefined;
let turn: Promise<void> = Promise.resolve();
// A supervisor that dies before it takes our connection up is not always noticed: Deno hands its listening socket on to
// us, so that the connection waits there, with nobody.
const unheard = setTimeout(() => process.exit(1), DEFAULT_WORKER_LIMITS.helloTimeoutMs);
channel.send({ kind: "hello", pid: process.pid });

interface Serving {
  readonly plane: DataPlane;
  use(state: WorkerState): Promise<void>;
  /** It does not listen any more. */
  unmark(): Promise<void>;
}

function told(message: DownMessage): void {
  clearTimeout(unheard);
  switch (message.kind) {
    case "start":
      turn = begin(message);
      return;
    case "state":
      turn = turn.then(() => adopt(message.id, message.state));
      return;
    case "keep":
      mayServeAlone = true;
      return;
    case "allowed":
    case "challenged":
      return uplink.answered(message);
  }
}

/** The supervisor is gone. */
function alone(why: string | undefined): void {
  uplink.lost();
  if (isEnding) return;
  if (!mayServeAlone) process.exit(1);
  ownLog.event("warn", "orphaned", {
    err: why,
    what:
      `the supervisor of process ${process.pid} is gone: it serves on with what it has, until ` +
      "another sotto takes its place",
  });
}

async function begin(message: StartMessage): Promise<void> {
  try {
    serving = await start(message);
  } catch (error) {
    const { name, message, stack } = error as Error;
    const { code } = error as NodeJS.ErrnoException;
    const isForPeople = FOR_PEOPLE.has(name);
    const said = isForPeople ? message : stack ?? message;
    channel.send({ kind: "failed", name, code: code ?? "", message: said });
    await channel.flushed();
    process.exit(1);
  }
}

/** Errors whose message says all. */
const FOR_PEOPLE: ReadonlySet<string> = new Set(["BindError", "UserError", "StorageError"]);

async function start(message: StartMessage): Promise<Serving> {
  const { dataFolder, user, options, state, https } = message;
  const runtime = await thisRuntime();
  const privileges = user === undefined ? undefined : assumeUser(user);
  const keyLog = message.keyLog === undefined ? undefined : openKeyLog(message.keyLog);
  SigningKeys.of(crypto).slowElsewhere = message.slowSignatures === "thread";
  const reader = new StateReader(crypto, keyLog?.line);
  const { snapshot, rootKey } = await reader.read(state);
  let current = { state, rootKey };
  const log = uplink.log(message);
  const plane = await DataPlane.prepare({
    runtime,
    snapshot,
    config: { limits: state.limits, ...sitesOf(state) },
    root: () => join(dataFolder, current.rootKey),
    ech: () => publishedEch(current.state, plane.edge.snapshot.server.ech),
    log,
    slowSignatures: message.slowSignatures,
    answers: new Questions(uplink),
  });
  warmUp(crypto);
  const unmark = await mark(message, log);
  const listen = async (
    listen: Listen,
    { hostname, port }: (typeof https)[number],
    option: string,
  ) => await bind(listen, { addresses: [hostname], ports: [port], option });
  let httpTrouble: BindError | undefined;
  const bindAll = async () => {
    for (const place of https) await listen(plane.listenHttps, place, options.https);
    try {
      for (const place of message.http) await listen(plane.listenHttp, place, options.http);
    } catch (error) {
      if (!(error instanceof BindError)) throw error;
      httpTrouble = error;
    }
  };
  try {
    await (privileges?.raised(bindAll) ?? bindAll());
    privileges?.drop();
  } catch (error) {
    await unmark();
    throw error;
  }
  uplink.reportCounters(plane.edge.counters);
  channel.send({
    kind: "serving",
    httpTrouble: httpTrouble && { code: httpTrouble.code, message: httpTrouble.message },
  });
  return {
    plane,
    unmark,
    async use(state) {
      const { snapshot, rootKey } = await reader.read(state);
      await plane.prepareFor(sitesOf(state));
      current = { state, rootKey };
      plane.useSnapshot(snapshot);
      plane.keepFor(sitesOf(state));
    },
  };
}

/** A full disk is no reason not to serve: it is only that nobody finds this worker, should its supervisor die. */
async function mark(message: StartMessage, log: Log): Promise<() => Promise<void>> {
  try {
    return await markWorker(message.dataFolder, message.https.map(placeOf), message.supervisor);
  } catch (error) {
    const what = `${messageOf(error)}. As it is, a start after the supervisor's death does not ` +
      `find process ${process.pid}: end it with kill ${process.pid}`;
    log.event("warn", "warning", { what });
    return () => Promise.resolve();
  }
}

function sitesOf({ handlers }: WorkerState) {
  return { sites: handlers.map((handler) => ({ handler })) };
}

async function adopt(id: number, state: WorkerState): Promise<void> {
  try {
    await serving!.use(state);
    channel.send({ kind: "adopted", id });
  } catch (error) {
    channel.send({ kind: "refused", id, message: messageOf(error) });
  }
}

/** SIGTERM: closes the listeners, lets connections finish, and ends. Once is enough, twice is no more. */
async function end(): Promise<void> {
  if (isEnding) return;
  isEnding = true;
  channel.send({ kind: "stopping" });
  if (serving === undefined) process.exit(1);
  const { plane } = serving;
  const { drained } = await plane.close();
  await serving.unmark();
  await drained;
  uplink.stop(plane.edge.counters);
  await channel.flushed();
  process.exit(0);
}
