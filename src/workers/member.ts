/**
 * One worker, as its supervisor sees it: a process that starts, serves, and ends.
 * @module
 */
import type { ChildProcess } from "node:child_process";
import process from "node:process";

import type { ControlAnswers } from "../edge/questions.ts";
import type { Gate, Guest, WorkerChannel } from "./gate.ts";
import type { WorkerLimits } from "./limits.ts";
import {
  MAX_OPEN_QUESTIONS,
  type StartMessage,
  type UpMessage,
  type WorkerState,
} from "./messages.ts";

/** A worker does not do what it should; the message says what. */
export class WorkerError extends Error {
  override readonly name = "WorkerError";
  /** What its own error was called. */
  readonly kind: string;
  readonly code: string;

  constructor(message: string, { kind = "", code = "" } = {}) {
    super(message);
    this.kind = kind;
    this.code = code;
  }
}

export type HttpTrouble = Extract<UpMessage, { kind: "serving" }>["httpTrouble"];
export type CounterValues = Extract<UpMessage, { kind: "counters" }>["counters"];
export type LogMessage = Extract<UpMessage, { kind: "log" }>;

export interface MemberParts {
  readonly child: ChildProcess;
  readonly gate: Gate;
  readonly start: StartMessage;
  readonly limits: WorkerLimits;
  /** From being told to end. Reached: killed. */
  readonly endTimeoutMs: number;
  readonly answers: ControlAnswers;
  readonly onLog: (member: Member, message: LogMessage) => void;
  /** It closes its listeners, or has ended: another one has to take its place. */
  readonly onLeave: (member: Member) => void;
}

export class Member implements Guest {
  readonly number: number;
  readonly pid: number;
  /** Resolves once it serves. @throws {WorkerError} it will not */
  readonly serving: Promise<HttpTrouble>;
  /** Resolves once its process has ended. */
  readonly gone: Promise<void>;
  readonly startedMs = performance.now();
  counters: CounterValues = {};
  /** How its process ended. */
  end: string | undefined;
  /** What it serves by, or is about to. */
  state: WorkerState;
  readonly #parts: MemberParts;
  readonly #serving = Promise.withResolvers<HttpTrouble>();
  readonly #acks = new Map<number, PromiseWithResolvers<void>>();
  #channel: WorkerChannel | undefined;
  #stopAwaiting: () => void;
  #timer: ReturnType<typeof setTimeout>;
  #endTimer: ReturnType<typeof setTimeout> | undefined;
  /** Its channel has ended, and not yet the process. */
  #lostTimer: ReturnType<typeof setTimeout> | undefined;
  /** That wait for their answers. */
  #questions = 0;
  /** Since it said something. */
  #silentBeats = 0;
  #isServing = false;
  #hasLeft = false;
  #isTold = false;
  #lastId = 0;

  constructor(parts: MemberParts) {
    this.#parts = parts;
    const { child, gate, start, limits } = parts;
    this.number = start.worker;
    this.state = start.state;
    this.pid = child.pid ?? 0;
    this.serving = this.#serving.promise;
    this.serving.catch(() => {}); // whoever waits for it hears of it
    this.#stopAwaiting = gate.await(this.pid, this);
    this.#timer = setTimeout(
      () => this.#fail(`it said nothing for ${limits.helloTimeoutMs} ms`),
      limits.helloTimeoutMs,
    );
    const { promise, resolve } = Promise.withResolvers<void>();
    this.gone = promise;
    const ended = (how: string) => {
      if (this.end !== undefined) return;
      this.end = how;
      clearTimeout(this.#endTimer);
      clearTimeout(this.#lostTimer);
      this.#fail(how);
      resolve();
      this.#leave();
      this.#takesNothing(how);
    };
    child.once("error", (error) => ended(error.message));
    child.once("exit", (code, signal) => ended(signal === null ? `exit code ${code}` : signal));
  }

  get isServing(): boolean {
    return this.#isServing && !this.#hasLeft;
  }

  /** Somebody has asked it to end. */
  get isTold(): boolean {
    return this.#isTold;
  }

  /** @throws {WorkerError} it has not taken it, and is not to be kept */
  async adopt(state: WorkerState): Promise<void> {
    this.state = state;
    const id = ++this.#lastId;
    const ack = Promise.withResolvers<void>();
    const { adoptTimeoutMs } = this.#parts.limits;
    const late = setTimeout(
      () => ack.reject(new WorkerError(`it did not take it within ${adoptTimeoutMs} ms`)),
      adoptTimeoutMs,
    );
    this.#acks.set(id, ack);
    this.#channel?.send({ kind: "state", id, state });
    if (this.#channel?.isOpen !== true && this.#lostTimer === undefined) {
      this.#takesNothing(this.end ?? "it cannot be reached");
    }
    try {
      await ack.promise;
    } finally {
      clearTimeout(late);
      this.#acks.delete(id);
    }
  }

  /** It may go on without us from now on. */
  keep(): void {
    this.#channel?.send({ kind: "keep" });
  }

  /** Closes its listeners, lets connections finish, and ends; or is killed. */
  tell(): void {
    this.#isTold = true;
    this.#leave();
    this.#signal("SIGTERM");
    this.#endInTime();
  }

  kill(): void {
    this.#isTold = true;
    this.#leave();
    this.#signal("SIGKILL");
  }

  /**
   * Every `beatMs`: has it said something since? Turns of our own loop are counted rather than time, so that nobody
   * seems stuck where we were, or the machine slept.
   */
  beat(): void {
    // Who is out of reach has been told to end.
    if (!this.#isServing || this.end !== undefined || this.#channel?.isOpen !== true) return;
    const { beatMs, hangTimeoutMs, hangMarginMs } = this.#parts.limits;
    const silentMs = ++this.#silentBeats * beatMs;
    if (silentMs >= hangTimeoutMs + hangMarginMs) {
      this.#log("worker_killed", `it still said nothing after ${silentMs} ms`);
      this.kill();
    } else if (silentMs >= hangTimeoutMs && !this.#isTold) {
      this.#log("worker_hangs", `it said nothing for ${silentMs} ms`);
      // Should it only have been slow, its connections may finish.
      this.tell();
    }
  }

  #endInTime(): void {
    if (this.end !== undefined) return;
    const { endTimeoutMs } = this.#parts;
    this.#endTimer ??= setTimeout(() => {
      this.#log("worker_killed", `it did not end within ${endTimeoutMs} ms`);
      this.kill();
    }, Math.min(endTimeoutMs, MAX_TIMER_MS));
  }

  #log(event: string, err: string): void {
    this.#parts.onLog(this, {
      kind: "log",
      level: "error",
      event,
      fields: { pid: this.pid, err },
    });
  }

  #signal(signal: "SIGTERM" | "SIGKILL"): void {
    if (this.end !== undefined || this.pid === 0) return;
    try {
      // Deno's `child.kill` sends one signal and no second one.
      process.kill(this.pid, signal);
    } catch {
      this.#parts.child.kill(signal); // which takes fewer permissions there
    }
  }

  // What the gate says

  arrived(channel: WorkerChannel): void {
    this.#channel = channel;
    clearTimeout(this.#timer);
    const { startTimeoutMs } = this.#parts.limits;
    this.#timer = setTimeout(
      () => this.#fail(`it did not serve within ${startTimeoutMs} ms`),
      startTimeoutMs,
    );
    channel.send(this.#parts.start);
  }

  said(message: UpMessage): void {
    this.#silentBeats = 0;
    switch (message.kind) {
      case "hello":
        return this.#channel?.close("it says hello twice");
      case "serving":
        clearTimeout(this.#timer);
        this.#isServing = true;
        return this.#serving.resolve(message.httpTrouble);
      case "failed":
        return this.#fail(message.message, { kind: message.name, code: message.code });
      case "adopted":
        return this.#acks.get(message.id)?.resolve();
      case "refused":
        return this.#acks.get(message.id)?.reject(new WorkerError(message.message));
      case "log":
        return this.#parts.onLog(this, message);
      case "counters":
        this.counters = message.counters;
        return;
      case "alive":
        return;
      case "stopping":
        this.#endInTime();
        return this.#leave();
      case "onDemand":
      case "challenge":
        return void this.#answer(message);
    }
  }

  /** Without a channel it is out of reach: another one takes its place, and this one ends. */
  left(why: string | undefined): void {
    const what = `its channel ended${why === undefined ? "" : `: ${why}`}`;
    if (this.end !== undefined || this.#hasLeft) return this.#takesNothing(what);
    if (!this.#isServing) return this.#fail(what);
    // Of a process that has died the channel ends first, and how it died is to come.
    this.#lostTimer = setTimeout(() => {
      this.#lostTimer = undefined;
      this.#takesNothing(what);
      if (this.#hasLeft) return;
      this.#log("worker_lost", what);
      this.tell();
    }, LOST_AFTER_MS);
  }

  #takesNothing(why: string): void {
    for (const ack of this.#acks.values()) ack.reject(new WorkerError(why));
  }

  /** Never rejects: `answers` does not. */
  async #answer(question: Extract<UpMessage, { kind: "onDemand" | "challenge" }>): Promise<void> {
    const { answers } = this.#parts;
    const { id } = question;
    // It counts them itself: one that does not is broken.
    if (this.#questions >= MAX_QUESTIONS) return this.#channel?.close("it asks too much");
    this.#questions++;
    if (question.kind === "onDemand") {
      const allowed = await answers.onDemand(question.name, question.client);
      this.#channel?.send({ kind: "allowed", id, allowed });
    } else {
      const answer = await answers.challenge(question.challenge);
      this.#channel?.send({ kind: "challenged", id, answer: answer ?? null });
    }
    this.#questions--;
  }

  /** It has not come to serve, and will not. */
  #fail(message: string, details?: { kind: string; code: string }): void {
    clearTimeout(this.#timer);
    this.#stopAwaiting();
    if (this.#isServing) return;
    this.#serving.reject(new WorkerError(message, details));
    if (this.end === undefined) this.kill();
  }

  #leave(): void {
    if (this.#hasLeft) return;
    this.#hasLeft = true;
    this.#parts.onLeave(this);
  }
}

/** Of a busy machine one hears late. Meanwhile it serves, whatever it is. */
const LOST_AFTER_MS = 2_000;
/** That one worker may have open: twice what it allows itself, since answers and questions meet on the way. */
const MAX_QUESTIONS = 2 * MAX_OPEN_QUESTIONS;
/** A timer with more fires at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;
