/**
 * A worker's line to its supervisor: questions, events, counters. Without a supervisor questions get "no" at once, and
 * events go to standard error.
 * @module
 */
import type { Counters } from "../edge/counters.ts";
import { limitEvents } from "../edge/limited-log.ts";
import type { Log } from "../edge/log.ts";
import type { Challenge, ControlAnswers } from "../edge/questions.ts";
import type { Channel } from "./channel.ts";
import { type DownMessage, MAX_OPEN_QUESTIONS, type UpMessage } from "./messages.ts";

export interface UplinkParts {
  readonly channel: Channel<DownMessage, UpMessage>;
  /** Where events go without a supervisor. */
  readonly ownLog: Log;
}

export class Uplink implements ControlAnswers {
  readonly #parts: UplinkParts;
  readonly #open = new Map<number, (answer: boolean | string | undefined) => void>();
  #lastId = 0;
  #lastCounters = "";
  #silentReports = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(parts: UplinkParts) {
    this.#parts = parts;
  }

  /** Of events a stranger can cause, only so many a second go up. */
  log({ debug, names }: Required<Pick<Log, "debug" | "names">>): Log {
    const { ownLog } = this.#parts;
    const log: Log = {
      event: (level, event, fields) => {
        const channel = this.#parts.channel;
        if (!channel.isOpen) return ownLog.event(level, event, fields);
        if (channel.isCrowded) return;
        const known = Object.entries(fields).filter(([, value]) => value !== undefined);
        channel.send({
          kind: "log",
          level,
          event,
          fields: Object.fromEntries(known) as Record<string, string | number | boolean>,
        });
      },
    };
    return { ...limitEvents(log, Date.now), debug, names };
  }

  /** Now and then, where they have changed; else says that it lives. */
  reportCounters(counters: Counters): void {
    this.#timer = setInterval(() => this.#report(counters), REPORT_EVERY_MS);
    this.#timer.unref();
  }

  /** For the last time. */
  stop(counters: Counters): void {
    clearInterval(this.#timer);
    this.#report(counters, true);
  }

  async onDemand(name: string, client: string): Promise<boolean> {
    const id = ++this.#lastId;
    return await this.#ask({ kind: "onDemand", id, name, client }) === true;
  }

  async challenge(challenge: Challenge): Promise<string | undefined> {
    const id = ++this.#lastId;
    const answer = await this.#ask({ kind: "challenge", id, challenge });
    return typeof answer === "string" ? answer : undefined;
  }

  answered(message: Extract<DownMessage, { kind: "allowed" | "challenged" }>): void {
    const answer = message.kind === "allowed" ? message.allowed : message.answer ?? undefined;
    this.#settle(message.id, answer);
  }

  /** The channel has ended: nobody answers any more. */
  lost(): void {
    for (const id of this.#open.keys()) this.#settle(id, undefined);
  }

  #ask(
    question: Extract<UpMessage, { kind: "onDemand" | "challenge" }>,
  ): Promise<boolean | string | undefined> {
    const channel = this.#parts.channel;
    if (!channel.isOpen || channel.isCrowded) return Promise.resolve(undefined);
    // Whoever asked the oldest has long stopped waiting.
    for (const id of this.#open.keys()) {
      if (this.#open.size < MAX_OPEN_QUESTIONS) break;
      this.#settle(id, undefined);
    }
    return new Promise((resolve) => {
      this.#open.set(question.id, resolve);
      channel.send(question);
    });
  }

  #settle(id: number, answer: boolean | string | undefined): void {
    const resolve = this.#open.get(id);
    this.#open.delete(id);
    resolve?.(answer);
  }

  #report(counters: Counters, isLast = false): void {
    const { channel } = this.#parts;
    if (!channel.isOpen || channel.isCrowded) return;
    // The lag of the loop changes while nothing happens: that alone is no news.
    const { loopLag: _loopLag, ...rest } = counters;
    const text = JSON.stringify(rest);
    const isNews = text !== this.#lastCounters || --this.#silentReports <= 0 || isLast;
    if (!isNews) return channel.send({ kind: "alive" });
    this.#lastCounters = text;
    this.#silentReports = SILENT_REPORTS;
    channel.send({
      kind: "counters",
      counters: JSON.parse(JSON.stringify(counters)) as CountersMessage["counters"],
    });
  }
}

type CountersMessage = Extract<UpMessage, { kind: "counters" }>;

const REPORT_EVERY_MS = 2_000;
const SILENT_REPORTS = 15;
