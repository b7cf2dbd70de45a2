/**
 * How somebody says that it is to end.
 * @module
 */
import { readFileSync } from "node:fs";
import process from "node:process";

export interface StopWishes {
  /** SIGTERM, SIGINT, or whoever started us is gone: open connections may finish. */
  readonly first: () => void;
  /** A second one: at once. */
  readonly second: () => void;
}

/** @param followsStarter see `onStarterGone` */
export function onStopSignals({ first, second }: StopWishes, followsStarter: boolean): void {
  let beganMs: number | undefined;
  const wish = () => {
    const nowMs = performance.now();
    if (beganMs === undefined) {
      beganMs = nowMs;
      first();
    } else if (nowMs - beganMs >= SAME_WISH_MS) {
      second();
    }
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, wish);
  if (followsStarter) onStarterGone(() => void (beganMs === undefined && wish()));
}

/**
 * What comes within this time is the same wish: a terminal sends Ctrl-C to every process of a job, and `deno task` hands on
 * what it gets itself, so we have it twice. Nobody who means it twice is as fast.
 */
export const SAME_WISH_MS = 500;

/**
 * `npx` and `npm` start a shell that starts us. On SIGTERM npm ends that shell and itself, and where the shell is dash, which
 * stays between, nobody tells us. A starter that is gone is then what tells us.
 *
 * Who means us to live on is left alone: a process group of our own (`setsid`), a hangup just before (`nohup`, a terminal
 * that was closed: node forgets what nohup said), a starter that was gone when we began.
 */
function onStarterGone(gone: () => void): void {
  if (!isOfNpm() || !IS_OF_STARTERS_GROUP) return;
  let hangupMs = -Infinity;
  process.on("SIGHUP", () => hangupMs = performance.now());
  const timer = setInterval(() => {
    if (process.ppid === STARTER) return;
    clearInterval(timer);
    if (performance.now() - hangupMs > 2 * LOOK_MS) gone();
  }, LOOK_MS);
  timer.unref();
}

/** As early as can be: it may end while we start. */
const STARTER = process.ppid;
const GROUP = groupOf("self");
const IS_OF_STARTERS_GROUP = GROUP !== undefined && STARTER > 1 && GROUP === groupOf(STARTER);
/** How often. */
export const LOOK_MS = 500;

/** As `npx bun run edge.ts` or `npm start`: any other script may go on without what it has started. */
function isOfNpm(): boolean {
  const { npm_lifecycle_event: event, npm_package_name: name } = process.env;
  return event === "npx" || (event === "start" && name === "sotto");
}

/** Undefined: the system does not say. The shells that are known to stay between are Linux's. */
function groupOf(pid: number | "self"): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // pid (name) state ppid pgrp …: the name may hold anything.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[2];
  } catch {
    return undefined;
  }
}
