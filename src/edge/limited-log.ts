/** @module */
import type { Log } from "./log.ts";

/** Of each event only so many a second go on, the others are counted: no peer can flood what is behind it. */
export function limitEvents(log: Log, now: () => number): Log {
  const recent = new Map<string, { second: number; count: number }>();
  return {
    event(level, event, fields) {
      const second = Math.floor(now() / 1000);
      // Sotto's own events are some dozens; who makes up more has one share for all of them.
      const kind = recent.has(event) || recent.size < MAX_EVENTS ? event : "";
      let seen = recent.get(kind);
      if (seen === undefined) recent.set(kind, seen = { second, count: 0 });
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
const MAX_EVENTS = 256;
