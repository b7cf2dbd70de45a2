/**
 * How somebody says that it is to end.
 * @module
 */
import { readFileSync } from "node:fs";
import process from "node:process";

export interface StopWishes {
  /** SIGTERM, SIGINT, or whoever started us is gone, which `why` says: open connections may finish. */
  readonly first: (why?: string) => void;
  /** A second one: at once. */
  readonly second: () => void;
}

/** @param starter as `findStarter` has it. Its end is a wish too. */
export function onStopSignals({ first, second }: StopWishes, starter: Starter | undefined): void {
  let beganMs: number | undefined;
  const wish = (why?: string) => {
    const nowMs = performance.now();
    if (beganMs === undefined) {
      beganMs = nowMs;
      first(why);
    } else if (nowMs - beganMs >= SAME_WISH_MS) {
      second();
    }
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => wish());
  if (starter === undefined) return;
  onGone(starter, () => {
    if (beganMs === undefined) wish("what started it is gone");
  });
}

/**
 * What comes within this time is the same wish: a terminal sends Ctrl-C to every process of a job, and `deno task` hands on
 * what it gets itself, so we have it twice. Nobody who means it twice is as fast.
 */
export const SAME_WISH_MS = 500;

export interface Starter {
  readonly pid: number;
  /** Ours when we began; "0" is none. */
  readonly terminal: string;
}

/**
 * `npx` and `npm` start a shell that starts us. On SIGTERM npm ends that shell and itself, and where the shell is dash, which
 * stays between, nobody tells us. A starter that is gone is then what tells us.
 *
 * Undefined: nobody's end is ours. What npm has started may start us and go, so its own shell it must be, or npm itself, as
 * bash gives way to us. It must be of our process group too: who gave us one of our own (`setsid`) means us to live on. The
 * shells that are known to stay are Linux's, and the system says there who is who.
 *
 * To be called as early as can be: it may end while we start.
 */
export function findStarter(): Starter | undefined {
  if (!isOfNpm()) return undefined;
  const own = lookAt("self");
  const starter = own && lookAt(own.parent);
  if (own === undefined || starter === undefined || own.group !== starter.group) return undefined;
  const npm = SHELLS.has(starter.name) ? lookAt(starter.parent) : starter;
  // It calls itself by its command: "npm exec bun run edge.ts".
  if (npm === undefined || !npm.name.startsWith("npm")) return undefined;
  return { pid: Number(own.parent), terminal: own.terminal };
}

/** As `npx bun run edge.ts` or `npm start`: other scripts may go on without what they have started. */
function isOfNpm(): boolean {
  const { npm_lifecycle_event: event, npm_package_name: name } = process.env;
  return event === "npx" || (event === "start" && name === "sotto");
}

const SHELLS: ReadonlySet<string> = new Set(["sh", "dash", "bash"]);

/**
 * A terminal that is closed ends npm by a hangup, and `nohup` does not help, as node forgets it. We are to live on then. Any
 * other hangup is a wish for a reload, however soon npm ends after it, so what counts is that our terminal is gone as well.
 * npm may die of the hangup before we hear of it: that is asked a look later.
 */
function onGone({ pid, terminal }: Starter, gone: () => void): void {
  let hangupMs = -Infinity;
  process.on("SIGHUP", () => hangupMs = performance.now());
  let isMissed = false;
  const timer = setInterval(() => {
    if (process.ppid === pid) return;
    if (!isMissed) return void (isMissed = true);
    clearInterval(timer);
    const isHungUp = performance.now() - hangupMs < 4 * LOOK_MS;
    if (!isHungUp || lookAt("self")?.terminal === terminal) gone();
  }, LOOK_MS);
  timer.unref();
}

/** How often. */
export const LOOK_MS = 500;

interface Look {
  readonly name: string;
  readonly parent: string;
  readonly group: string;
  readonly terminal: string;
}

/** Undefined: there is none, or the system does not say. */
function lookAt(pid: number | string): Look | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // pid (name) state ppid pgrp session tty_nr …: the name may hold anything.
    const end = stat.lastIndexOf(")");
    const [, parent, group, , terminal] = stat.slice(end + 2).split(" ");
    return {
      name: stat.slice(stat.indexOf("(") + 1, end),
      parent: parent!,
      group: group!,
      terminal: terminal!,
    };
  } catch {
    return undefined;
  }
}
