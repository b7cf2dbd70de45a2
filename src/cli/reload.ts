/** `edge.ts reload` @module */
import { realpathSync } from "node:fs";
import { readFile } from "node:fs/promises";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";

import { ConfigError } from "../config/error.ts";
import { postToInstance } from "../control/ask-instance.ts";
import { type Instance, instanceSocket, readInstanceLocks } from "../control/instance-lock.ts";
import { isInOtherContainer, isSameProcess } from "../control/process-identity.ts";
import { RELOAD_ANSWER, type ReloadAnswer } from "../control/reload-answer.ts";
import { quoted } from "../trust/step.ts";
import type { CommonArguments } from "./arguments.ts";
import { findDataFolder } from "./data-folder.ts";
import { CommandError } from "./explain.ts";
import { findConfig } from "./find-config.ts";
import { programName } from "./report.ts";

/**
 * Has those who serve from the data folder take their configuration anew, and says what came of it. It is checked here
 * first, so that what is wrong with it disturbs nobody.
 *
 * They are asked by their sockets: a socket is one process's, wherever that runs, while a process id means another one in
 * another container. Only who has none, which its log warns of, gets a signal, and says what came of it to its log alone.
 *
 * @throws {ConfigError} nobody is told then
 * @throws {CommandError} nobody serves, or somebody goes on with its old configuration
 * @throws {StorageError} who serves is not for this user to know
 */
export async function reload(args: CommonArguments): Promise<void> {
  const { path } = findDataFolder(args.data, process.env, process.cwd());
  const checked = await findConfig(args.config).catch(async (error: unknown) => {
    throw error instanceof ConfigError ? await ofChecked(error, path) : error;
  });
  const all = await whoServes(path);
  if (all.length === 0) throw nobody(path, args);
  const refusals: string[] = [];
  for (const instances of byProcess(all)) {
    const where = placesOf(instances);
    try {
      const answer = await withNotice(where, () => ask(path, instances, where));
      if (answer === undefined) await tellBySignal(instances[0]!, where);
      else sayWhatCameOf(answer, where, checked.file);
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      refusals.push(error.message); // the others are told all the same
    }
  }
  if (refusals.length > 0) throw new CommandError(refusals.join("\n"));
}

/** Whoever has a wrong file wants to know what it has broken: nothing. */
async function ofChecked(error: ConfigError, folder: string): Promise<Error> {
  const all = await readInstanceLocks(folder).catch(() => []); // nobody was told, whoever it is
  if (all.length === 0) return error;
  const goOn = byProcess(all).map((instances) =>
    `The sotto on ${placesOf(instances)} was not told, and goes on with its old configuration`
  );
  return new CommandError([error.message, ...goOn].join("\n"), { cause: error });
}

/** One that is about to serve has no lock yet: it may have been started just now. */
async function whoServes(folder: string): Promise<readonly Instance[]> {
  for (let look = 1;; look++) {
    const all = await readInstanceLocks(folder);
    if (all.length > 0 || look === MAX_LOOKS) return all;
    await delay(LOOK_MS);
  }
}

const LOOK_MS = 200;
const MAX_LOOKS = 10;

function nobody(folder: string, { config, data }: CommonArguments): CommandError {
  const runtime = (["bun", "deno"] as const).find((name) => name in process.versions) ?? "node";
  const given = Object.entries({ "--config": config, "--data": data }).flatMap(([option, value]) =>
    value === undefined ? [] : [option, quoted(value)]
  );
  const command = [programName(runtime, process.argv[1]), ...given].join(" ");
  return new CommandError(
    `no sotto serves from ${folder}, and none began to within ${MAX_LOOKS * LOOK_MS / 1000} s. ` +
      `Start one with: ${command}. ` +
      "One that serves from another folder, as another user's does, is named with --data DIR",
  );
}

/** A process has a lock for each address. */
function byProcess(instances: readonly Instance[]): Instance[][] {
  const found: Instance[][] = [];
  for (const instance of instances) {
    const same = found.find(([first]) => isSameProcess(first!, instance));
    if (same === undefined) found.push([instance]);
    else same.push(instance);
  }
  return found;
}

function placesOf(instances: readonly Instance[]): string {
  return instances.map(({ address }) => address).join(" and ");
}

/** Undefined: it has no socket. That lies beside the lock of one of its addresses. */
async function ask(
  folder: string,
  instances: readonly Instance[],
  where: string,
): Promise<ReloadAnswer | undefined> {
  for (const { address, pid } of instances) {
    try {
      const { status, text } = await postToInstance(
        instanceSocket(folder, address),
        "/reload",
        ANSWER_TIMEOUT_MS,
      );
      const answer = readAnswer(status, text, where);
      if (answer.pid === pid) return answer;
      // Else whom it has followed had the socket still: it is about to have one.
    } catch (cause) {
      if (cause instanceof CommandError) throw cause;
      const { code = "", message } = cause as NodeJS.ErrnoException;
      if (NOBODY_THERE.has(code)) continue;
      if (code === "EACCES") {
        throw new CommandError(
          `cannot ask the sotto on ${where}: do it as root or as the user that it runs as`,
          { cause },
        );
      }
      throw new CommandError(
        code === "ETIMEDOUT"
          ? `the sotto on ${where} has not said in ${
            ANSWER_TIMEOUT_MS / 1000
          } s what came of it: its log will`
          : `the sotto on ${where} went away before it said what came of it: ${message}`,
        { cause },
      );
    }
  }
  return undefined;
}

/** Shorter than what systemd grants ExecReload by default, 90 s: the message here says more. */
const ANSWER_TIMEOUT_MS = 80_000;
/** Longer than most of them take. */
const NOTICE_MS = 1000;

const NOBODY_THERE: ReadonlySet<string> = new Set(["ENOENT", "ECONNREFUSED"]);

function readAnswer(status: number, text: string, where: string): ReloadAnswer {
  if (status === 404) {
    throw new CommandError(
      `the sotto on ${where} cannot be asked to reload: it is part of another program, or older than this one`,
    );
  }
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    answer = undefined;
  }
  const { data, success } = RELOAD_ANSWER.safeParse(answer);
  if (!success) {
    throw new CommandError(
      `the sotto on ${where} answered with ${status} and nothing that this version knows`,
    );
  }
  return data;
}

/** Who waits is told so. */
async function withNotice<T>(where: string, work: () => Promise<T>): Promise<T> {
  const timer = setTimeout(() => {
    process.stderr.write(`waiting for the sotto on ${where} …\n`);
  }, NOTICE_MS);
  try {
    return await work();
  } finally {
    clearTimeout(timer);
  }
}

/** @param checked the file that was looked at here. @throws {CommandError} all is as it was */
function sayWhatCameOf(answer: ReloadAnswer, where: string, checked: string | undefined): void {
  if ("err" in answer) {
    throw new CommandError(
      `the sotto on ${where} ${
        answer.isUnread ? "has not read its configuration" : "goes on with its old configuration"
      }: ${answer.err}`,
    );
  }
  const { config, sites, warnings } = answer;
  const count = sites === 1 ? "1 site" : `${sites} sites`;
  const from = config ?? "the default, as there is no sotto.toml where it was started";
  process.stdout.write(`reloaded: ${count} from ${from}, on ${where}\n`);
  const other = checked !== undefined && !isSameFile(config, checked)
    ? [`${checked}, which was checked here, is not what this sotto was started with`]
    : [];
  for (const warning of [...warnings, ...other]) process.stderr.write(`warning: ${warning}\n`);
}

function isSameFile(one: string | null, other: string): boolean {
  if (one === null || one === other) return one === other;
  try {
    return realpathSync(one) === realpathSync(other);
  } catch {
    return false;
  }
}

async function tellBySignal(instance: Instance, where: string): Promise<void> {
  const { pid } = instance;
  if (await isInOtherContainer(instance)) {
    throw new CommandError(
      `the sotto on ${where} runs in another container, and has no socket: have it reload from there`,
    );
  }
  if (!await takesSignal(pid)) {
    throw new CommandError(
      `the sotto on ${where} cannot be told to reload: it is part of another program, process ${pid}`,
    );
  }
  try {
    process.kill(pid, "SIGHUP");
  } catch (cause) {
    const { message } = cause as Error;
    throw new CommandError(`cannot tell process ${pid} to reload: ${message}`, { cause });
  }
  process.stdout.write(
    `told process ${pid} on ${where} to reload, by a signal as it has no socket: its log says what came of it\n`,
  );
}

/** False: SIGHUP would end it, as every program that does not mind it. True where the system does not say. */
async function takesSignal(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, "latin1").catch(() => "");
  const caught = /^SigCgt:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  return caught === undefined || (BigInt(`0x${caught}`) & SIGHUP_BIT) !== 0n;
}

const SIGHUP_BIT = 1n;
