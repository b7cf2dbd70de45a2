/**
 * The workers of one supervisor: as many as are wanted, each replaced when it dies, all with the newest state.
 * @module
 */
import type { ChildProcess } from "node:child_process";

import type { Log } from "../edge/log.ts";
import type { ControlAnswers } from "../edge/questions.ts";
import type { Gate } from "./gate.ts";
import { DEFAULT_WORKER_LIMITS, type WorkerLimits } from "./limits.ts";
import { type CounterValues, type HttpTrouble, Member, WorkerError } from "./member.ts";
import type { StartMessage, WorkerState } from "./messages.ts";
import { sumCounters, withoutGauges } from "./sum.ts";

export interface PoolParts {
  readonly gate: Gate;
  /** Starts a process that will report to the gate. @throws {Error} of the system */
  readonly spawn: () => ChildProcess;
  readonly start: Omit<StartMessage, "worker" | "state">;
  readonly state: WorkerState;
  readonly answers: ControlAnswers;
  readonly log: Log;
  /** So many start at a time. */
  readonly startsAtOnce: number;
  /** Connections of a worker that started with this state get so long to end. */
  readonly drainTimeoutMs: (state: WorkerState) => number;
  readonly limits?: Partial<WorkerLimits>;
}

interface Slot {
  readonly number: number;
  member: Member | undefined;
  /** Another one is being started for it. */
  launching: Promise<unknown> | undefined;
  /** Deaths in youth, one after the other. */
  young: number;
}

export class Pool {
  readonly #parts: PoolParts;
  readonly #limits: WorkerLimits;
  readonly #slots: Slot[] = [];
  /** All whose process has not ended. */
  readonly #living = new Set<Member>();
  #state: WorkerState;
  /** Of those that have ended. */
  #past: CounterValues = {};
  #isKept = false;
  #isStopping = false;
  readonly #stopping = Promise.withResolvers<void>();
  #beats: ReturnType<typeof setInterval> | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(parts: PoolParts) {
    this.#parts = parts;
    this.#limits = { ...DEFAULT_WORKER_LIMITS, ...parts.limits };
    this.#state = parts.state;
  }

  /**
   * Resolves once all serve.
   *
   * @throws {WorkerError} one of them cannot; none is left then
   */
  async start(count: number): Promise<HttpTrouble> {
    this.#beats = setInterval(() => {
      for (const member of this.#living) member.beat();
    }, this.#limits.beatMs);
    this.#beats.unref();
    try {
      return await this.#grow(count);
    } catch (error) {
      this.#isStopping = true;
      this.kill();
      await Promise.all([...this.#living].map((member) => member.gone));
      throw error;
    }
  }

  /** They may go on without us, should we die. */
  keep(): void {
    this.#isKept = true;
    for (const { member } of this.#slots) member?.keep();
  }

  get wanted(): number {
    return this.#slots.length;
  }

  /** Process ids of those that serve, in the order of their numbers. */
  get serving(): readonly number[] {
    return this.#slots.flatMap(({ member }) => member?.isServing === true ? [member.pid] : []);
  }

  /** Paths of the snapshots that they serve by, or are to read: one that starts may be behind the others. */
  get snapshots(): readonly string[] {
    return [...this.#living].filter(({ isTold }) => !isTold).map(({ state }) => state.snapshot);
  }

  get counters(): CounterValues {
    const all = [...this.#living].map(({ counters }) => counters);
    return sumCounters([this.#past, ...all]) as CounterValues;
  }

  /**
   * Resolves once all that serve have taken it. Who does not is replaced.
   *
   * @throws {WorkerError} that names those who have not
   */
  async adopt(state: WorkerState): Promise<void> {
    this.#state = state;
    const failed: string[] = [];
    await Promise.all(this.#slots.map(async (slot) => {
      const { member } = slot;
      if (member === undefined) return;
      try {
        await member.adopt(state);
      } catch (error) {
        if (member.isTold) return;
        failed.push(`worker ${slot.number} (process ${member.pid}): ${messageOf(error)}`);
        member.tell();
      }
    }));
    if (failed.length > 0) {
      throw new WorkerError(`Not taken by ${failed.join("; ")}. Others take their place`);
    }
  }

  /**
   * One after the other: the next one serves before the one before is told to end.
   *
   * @throws {WorkerError} the next one cannot serve; those that are left stay
   */
  replaceAll(): Promise<void> {
    return this.#inTurn(async () => {
      for (const slot of this.#slots) {
        if (this.#isStopping) return;
        await slot.launching;
        const before = slot.member;
        await this.#launch(slot);
        before?.tell();
      }
    });
  }

  /** @throws {WorkerError} */
  resize(count: number): Promise<void> {
    return this.#inTurn(async () => {
      for (const slot of this.#slots.splice(count)) slot.member?.tell();
      await this.#grow(count);
    });
  }

  /** Resolves once all have ended: connections had their time. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#stopping.resolve();
    for (const member of this.#living) if (!member.isTold) member.tell();
    await Promise.all([...this.#living].map((member) => member.gone));
    clearInterval(this.#beats);
  }

  /** At once. */
  kill(): void {
    this.#isStopping = true;
    this.#stopping.resolve();
    clearInterval(this.#beats);
    for (const member of this.#living) member.kill();
  }

  async #grow(count: number): Promise<HttpTrouble> {
    let trouble: HttpTrouble;
    const fresh: Slot[] = [];
    for (let number = this.#slots.length + 1; number <= count; number++) {
      const slot = { number, member: undefined, launching: undefined, young: 0 };
      fresh.push(slot);
      this.#slots.push(slot);
    }
    const waiting = fresh.values();
    const one = async () => {
      for (const slot of waiting) {
        if (this.#isStopping) return;
        trouble = await this.#launch(slot) ?? trouble;
      }
    };
    await Promise.all(Array.from({ length: this.#parts.startsAtOnce }, one));
    return trouble;
  }

  /** Has another one serve in the slot. @throws {WorkerError} */
  async #launch(slot: Slot): Promise<HttpTrouble> {
    const launching = this.#begin(slot);
    slot.launching = launching.catch(() => {});
    try {
      return await launching;
    } finally {
      slot.launching = undefined;
    }
  }

  async #begin(slot: Slot): Promise<HttpTrouble> {
    const { gate, answers, log, start, spawn, drainTimeoutMs } = this.#parts;
    const { number } = slot;
    const member = new Member({
      child: spawn(),
      gate,
      start: { ...start, worker: number, state: this.#state },
      limits: this.#limits,
      endTimeoutMs: drainTimeoutMs(this.#state) + this.#limits.endMarginMs,
      answers,
      onLog: (member, { level, event, fields }) =>
        log.event(level, event, { ...fields, worker: member.number }),
      onLeave: (member) => this.#left(slot, member),
    });
    this.#living.add(member);
    void member.gone.then(() => {
      this.#living.delete(member);
      this.#past = sumCounters([this.#past, withoutGauges(member.counters)]) as CounterValues;
    });
    try {
      const trouble = await member.serving;
      while (member.state !== this.#state) await member.adopt(this.#state);
      if (!member.isServing) throw new WorkerError(member.end ?? "it ends again");
      if (this.#isStopping || !this.#slots.includes(slot)) {
        member.tell();
        return undefined;
      }
      slot.member = member;
      if (this.#isKept) {
        member.keep();
        log.event("info", "worker_started", { worker: number, pid: member.pid });
      }
      return trouble;
    } catch (error) {
      if (member.end === undefined) member.kill();
      const { kind, code } = error as WorkerError;
      throw new WorkerError(`worker ${number}: ${messageOf(error)}`, { kind, code });
    }
  }

  #left(slot: Slot, member: Member): void {
    if (slot.member !== member) return;
    slot.member = undefined;
    const { log } = this.#parts;
    if (this.#isStopping || !this.#slots.includes(slot)) return;
    const { pid, number } = member;
    const livedMs = performance.now() - member.startedMs;
    slot.young = livedMs < this.#limits.youngMs ? slot.young + 1 : 0;
    log.event(
      member.isTold || member.end === undefined ? "info" : "error",
      member.end === undefined ? "worker_leaves" : "worker_died",
      { worker: number, pid, err: member.end },
    );
    if (slot.launching === undefined) void this.#refill(slot);
  }

  /** Until there is one again; never rejects. */
  async #refill(slot: Slot): Promise<void> {
    const { log } = this.#parts;
    while (slot.member === undefined && !this.#isStopping && this.#slots.includes(slot)) {
      await this.#rest(slot.young);
      if (this.#isStopping || slot.launching !== undefined) return;
      try {
        await this.#launch(slot);
      } catch (error) {
        slot.young++;
        log.event("error", "worker_failed", { worker: slot.number, err: messageOf(error) });
      }
    }
  }

  async #rest(young: number): Promise<void> {
    if (young === 0) return;
    const { firstBackOffMs, maxBackOffMs } = this.#limits;
    const ms = Math.min(firstBackOffMs * 2 ** Math.min(young - 1, 20), maxBackOffMs);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const rested = new Promise<void>((resolve) => timer = setTimeout(resolve, ms));
    await Promise.race([rested, this.#stopping.promise]);
    clearTimeout(timer);
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
