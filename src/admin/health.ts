/**
 * Whether it lives and whether it can serve, for whoever may open the socket in the data folder.
 * @module
 */
import { Hono } from "hono";

import type { ReloadAnswer, ReloadOutcome } from "../control/reload-answer.ts";

export interface Health {
  /** Some HTTPS port is listened on, and it is not about to stop. */
  readonly isListening: boolean;
  readonly hasSnapshot: boolean;
  /** ECH is off, or its public name has a certificate that is valid now: without, nobody gets new keys. */
  readonly hasPublicNameCertificate: boolean;
  /** Undefined: one process serves, this one. */
  readonly workers?: { readonly serving: number; readonly wanted: number } | undefined;
}

export interface HealthParts {
  /** Of the process that answers: who asks by a path may meet another one than it looked for. */
  readonly pid: number;
  /** Asked at each request. */
  readonly health: () => Health;
  /** What a process id cannot be used for everywhere: stop as a first SIGTERM does. */
  readonly stop: () => void;
  /** What happened so far: numbers, and tallies of those. Of processes that serve, all together. */
  readonly counters?: () => object;
  /** Takes the configuration anew, and says what came of it. Undefined: it has none to take. */
  readonly reload?: (() => Promise<ReloadOutcome>) | undefined;
}

/**
 * `GET /healthz`: 200 as long as the process answers. `GET /readyz`: 200 once it can serve, with how many workers there
 * are, if there are any, else 503 with what is missing, a word a line. `GET /counters`: what happened so far, in JSON,
 * the serving thread's lag among it. `POST /reload`: a `ReloadAnswer` once that is over, with 200 or, where all is as it
 * was, 422, or 503 where the configuration was not even read. `POST /stop`: 202, then it drains and ends.
 */
export function healthApp(parts: HealthParts): Hono {
  const { pid, health, stop, counters = () => ({}), reload } = parts;
  const app = new Hono();
  app.use(async (c, next) => {
    await next();
    c.header("Cache-Control", "no-store");
  });
  app.get("/healthz", (c) => c.text("ok\n"));
  app.get("/readyz", (c) => {
    const current = health();
    const missing = whatIsMissing(current);
    const { workers } = current;
    const who = workers && `${workers.serving} of ${workers.wanted} workers serve\n`;
    if (missing.length === 0) return c.text(`ready\n${who ?? ""}`);
    return c.text(missing.map((word) => `${word}\n`).join(""), 503);
  });
  app.get("/counters", (c) => c.json(counters()));
  if (reload !== undefined) {
    let waiting = 0;
    app.post("/reload", async (c) => {
      const answer = (outcome: ReloadOutcome) => ({ pid, ...outcome }) satisfies ReloadAnswer;
      if (waiting === MAX_WAITING) {
        const err = `${MAX_WAITING} others wait for a reload already. Try again in a moment`;
        return c.json(answer({ err, isUnread: true }), 503);
      }
      waiting++;
      try {
        const outcome = await reload();
        if (!("err" in outcome)) return c.json(answer(outcome));
        return c.json(answer(outcome), outcome.isUnread ? 503 : 422);
      } finally {
        waiting--;
      }
    });
  }
  app.post("/stop", (c) => {
    stop();
    return c.text("stopping\n", 202);
  });
  return app;
}

/** Requests that wait for reloads. Each has a connection, and those who wait for the next reload share it. */
const MAX_WAITING = 32;

function whatIsMissing(health: Health): string[] {
  const missing: string[] = [];
  if (!health.isListening) missing.push("listening");
  if (!health.hasSnapshot) missing.push("snapshot");
  if (!health.hasPublicNameCertificate) missing.push("public-name-certificate");
  return missing;
}
