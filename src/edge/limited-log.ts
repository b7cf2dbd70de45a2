/** @module */
import type { Log } from "./log.ts";

/** Of each event only so many a second go on, the others are counted: no peer can flood what is behind it. */
export function limitEvents(log: Log, now: () => number): Log {
  const recent = new Map<string, { second: number; count: number }>();
  return {
    event(level, event, fields) {
      const second = Math.floor(now() / 1000);
      let seen = recent.get(event);
      if (seen === undefined) recent.set(event, seen = { second, count: 0 });
      if (seen.second !== second) {
        const suppressed = seen.count - MAX_PER_SECOND;
        if (suppressed > 0) log.event(level, "log_suppressed", { of: event, suppressed });
        seen.second = second;
        seen.count = 0;
      }
      if (seen.count++ < MAX_PER_SECOND) log.event(level, event, fields);
    },
  };
}

const MAX_PER_SECOND = 20;
