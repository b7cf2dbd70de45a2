/**
 * What the data plane may ask of the control plane (design: three messages go upward; the third is counters and
 * events). No question holds anything up for long: each is asked once however many wait for its answer, the number of
 * open ones and the time for each are limited, and no answer is "no".
 *
 * @module
 */
import { Recent } from "../snapshot/recent.ts";

export interface ControlAnswers {
  /** May a certificate be obtained for this name, which nobody serves yet? @param client IP address */
  onDemand(name: string, client: string): Promise<boolean>;
  /** What a CA is to be answered; undefined: nothing of the kind is under way. */
  challenge(challenge: Challenge): Promise<string | undefined>;
}

/** What a CA, or somebody who says to be one, asks us to prove; all of it is a stranger's word. */
export type Challenge =
  | {
    readonly kind: "http-01";
    readonly token: string;
    /** Of the request, as `parseHost` has it: it has to be the name that the token is for (acme §7a). */
    readonly host: string;
  }
  | {
    readonly kind: "tls-alpn-01";
    /** Of the ClientHello. */
    readonly name: string;
  };

/** Of a control plane that obtains nothing from a CA. */
export const NO_ANSWERS: ControlAnswers = {
  onDemand: () => Promise.resolve(false),
  challenge: () => Promise.resolve(undefined),
};

export interface QuestionLimits {
  /** Different names that are asked about at a time. Reached: no. */
  readonly maxOnDemandWaiting: number;
  /** Obtaining a certificate may be part of it. Reached: no. */
  readonly onDemandTimeoutMs: number;
  /** acme §7a: different keys at a time. Reached: none. */
  readonly maxChallengesWaiting: number;
  /** acme §7a. Reached: none. */
  readonly challengeTimeoutMs: number;
  /** acme §7a: "none" is remembered for so long. */
  readonly challengeMissMs: number;
}

export const DEFAULT_QUESTION_LIMITS: QuestionLimits = {
  maxOnDemandWaiting: 256,
  onDemandTimeoutMs: 50_000,
  maxChallengesWaiting: 64,
  challengeTimeoutMs: 1_000,
  challengeMissMs: 1_000,
};

/** Never rejects. */
export class Questions implements ControlAnswers {
  readonly #answers: ControlAnswers;
  readonly #limits: QuestionLimits;
  readonly #names: SingleFlight<boolean>;
  readonly #challenges: SingleFlight<string | undefined>;
  /** When, on `performance.now()`. */
  readonly #misses = new Recent<string, number>(MAX_MISSES);

  constructor(answers: ControlAnswers, limits: Partial<QuestionLimits> = {}) {
    this.#answers = answers;
    this.#limits = { ...DEFAULT_QUESTION_LIMITS, ...limits };
    const { maxOnDemandWaiting, onDemandTimeoutMs, maxChallengesWaiting, challengeTimeoutMs } =
      this.#limits;
    this.#names = new SingleFlight({
      max: maxOnDemandWaiting,
      timeoutMs: onDemandTimeoutMs,
      no: false,
    });
    this.#challenges = new SingleFlight({
      max: maxChallengesWaiting,
      timeoutMs: challengeTimeoutMs,
      no: undefined,
    });
  }

  onDemand(name: string, client: string): Promise<boolean> {
    return this.#names.ask(name, () => this.#answers.onDemand(name, client));
  }

  async challenge(challenge: Challenge): Promise<string | undefined> {
    const question = Object.values(challenge).join(" ");
    const nowMs = performance.now();
    if (nowMs - (this.#misses.get(question) ?? -Infinity) < this.#limits.challengeMissMs) {
      return undefined;
    }
    const answer = await this.#challenges.ask(question, () => this.#answers.challenge(challenge));
    if (answer === undefined) this.#misses.set(question, nowMs);
    return answer;
  }
}

const MAX_MISSES = 256;

interface SingleFlightParts<T> {
  /** Different questions at a time. Reached: no. */
  readonly max: number;
  readonly timeoutMs: number;
  readonly no: T;
}

class SingleFlight<T> {
  readonly #parts: SingleFlightParts<T>;
  readonly #open = new Map<string, Promise<T>>();

  constructor(parts: SingleFlightParts<T>) {
    this.#parts = parts;
  }

  ask(key: string, question: () => Promise<T>): Promise<T> {
    const open = this.#open.get(key);
    if (open !== undefined) return open;
    if (this.#open.size >= this.#parts.max) return Promise.resolve(this.#parts.no);
    const answer = this.#inTime(question).finally(() => this.#open.delete(key));
    this.#open.set(key, answer);
    return answer;
  }

  async #inTime(question: () => Promise<T>): Promise<T> {
    const { timeoutMs, no } = this.#parts;
    const late = Promise.withResolvers<T>();
    const timer = setTimeout(() => late.resolve(no), timeoutMs);
    try {
      return await Promise.race([question(), late.promise]);
    } catch {
      return no;
    } finally {
      clearTimeout(timer);
    }
  }
}
