/**
 * What the data plane may ask of the control plane (design: three messages go upward; the third is counters and
 * events). No question holds anything up for long: each is asked once however many wait for its answer, the number of
 * open ones and the time for each are limited, and no answer is "no".
 *
 * @module
 */
export interface ControlAnswers {
  /** May a certificate be obtained for this name, which nobody serves yet? @param client IP address */
  onDemand(name: string, client: string): Promise<boolean>;
  /** What a CA is to be answered; undefined: nothing of the kind is under way. */
  challenge(kind: ChallengeKind, key: string): Promise<string | undefined>;
}

export type ChallengeKind = "http-01" | "tls-alpn-01";

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
  readonly #misses = new Map<string, number>();

  constructor(answers: ControlAnswers, limits: Partial<QuestionLimits> = {}) {
    this.#answers = answers;
    this.#limits = { ...DEFAULT_QUESTION_LIMITS, ...limits };
    const { maxOnDemandWaiting, onDemandTimeoutMs, maxChallengesWaiting, challengeTimeoutMs } =
      this.#limits;
    this.#names = new SingleFlight(maxOnDemandWaiting, onDemandTimeoutMs, false);
    this.#challenges = new SingleFlight(maxChallengesWaiting, challengeTimeoutMs, undefined);
  }

  onDemand(name: string, client: string): Promise<boolean> {
    return this.#names.ask(name, () => this.#answers.onDemand(name, client));
  }

  async challenge(kind: ChallengeKind, key: string): Promise<string | undefined> {
    const question = `${kind} ${key}`;
    const nowMs = performance.now();
    if (nowMs - (this.#misses.get(question) ?? -Infinity) < this.#limits.challengeMissMs) {
      return undefined;
    }
    const answer = await this.#challenges.ask(question, () => this.#answers.challenge(kind, key));
    if (answer === undefined) this.#missed(question, nowMs);
    return answer;
  }

  #missed(question: string, nowMs: number): void {
    // The oldest first: re-inserted ones stand last.
    for (const [old, sinceMs] of this.#misses) {
      const isOver = nowMs - sinceMs >= this.#limits.challengeMissMs;
      if (!isOver && this.#misses.size < MAX_MISSES) break;
      this.#misses.delete(old);
    }
    this.#misses.delete(question);
    this.#misses.set(question, nowMs);
  }
}

const MAX_MISSES = 256;

class SingleFlight<T> {
  readonly #open = new Map<string, Promise<T>>();
  readonly #max: number;
  readonly #timeoutMs: number;
  readonly #no: T;

  constructor(max: number, timeoutMs: number, no: T) {
    this.#max = max;
    this.#timeoutMs = timeoutMs;
    this.#no = no;
  }

  ask(key: string, question: () => Promise<T>): Promise<T> {
    const open = this.#open.get(key);
    if (open !== undefined) return open;
    if (this.#open.size >= this.#max) return Promise.resolve(this.#no);
    const answer = this.#inTime(question).finally(() => this.#open.delete(key));
    this.#open.set(key, answer);
    return answer;
  }

  async #inTime(question: () => Promise<T>): Promise<T> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<T>((resolve) => {
      timer = setTimeout(() => resolve(this.#no), this.#timeoutMs);
    });
    try {
      return await Promise.race([question(), late]);
    } catch {
      return this.#no;
    } finally {
      clearTimeout(timer);
    }
  }
}
