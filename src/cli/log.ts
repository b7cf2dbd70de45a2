/**
 * The log: one line per event, for people or for machines.
 * @module
 */
import type { Log, LogFields, LogLevel } from "../edge/log.ts";

export interface LogOptions {
  readonly form: "pretty" | "json";
  readonly write: (text: string) => void;
  /** The clock: ms since 1970. */
  readonly now: () => number;
}

/** What the configuration says of the log. */
export interface LogSettings {
  readonly logLevel: LogLevel;
  readonly logNames: boolean;
}

export interface AdjustableLog extends Log {
  /** From now on. Before: level info, and no hidden names. */
  adjust(settings: LogSettings): void;
}

/** A log that no peer can flood: of each event only so many a second are written, the others are counted. */
export function openLog({ form, write, now }: LogOptions): AdjustableLog {
  const line = form === "json" ? jsonLine : prettyLine;
  const recent = new Map<string, { second: number; count: number }>();
  let settings: LogSettings = { logLevel: "info", logNames: false };
  return {
    get debug() {
      return settings.logLevel === "debug";
    },
    get names() {
      return settings.logNames;
    },
    adjust(next) {
      settings = { logLevel: next.logLevel, logNames: next.logNames };
    },
    event(level, event, fields) {
      if (RANKS[level] < RANKS[settings.logLevel]) return;
      const ms = now();
      const second = Math.floor(ms / 1000);
      let seen = recent.get(event);
      if (seen === undefined) recent.set(event, seen = { second, count: 0 });
      if (seen.second !== second) {
        const suppressed = seen.count - MAX_PER_SECOND;
        if (suppressed > 0) write(line(ms, level, "log_suppressed", { of: event, suppressed }));
        seen.second = second;
        seen.count = 0;
      }
      if (seen.count++ < MAX_PER_SECOND) write(line(ms, level, event, fields));
    },
  };
}

const MAX_PER_SECOND = 20;
const RANKS: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };

function jsonLine(ms: number, level: LogLevel, event: string, fields: LogFields): string {
  return JSON.stringify({ ts: new Date(ms).toISOString(), level, event, ...fields }) + "\n";
}

function prettyLine(ms: number, level: LogLevel, event: string, fields: LogFields): string {
  const parts = [new Date(ms).toISOString().slice(11, 23), level.padEnd(5), event];
  for (const [key, value] of Object.entries(fields)) {
    if (value !== undefined) {
      parts.push(`${key}=${typeof value === "string" ? shown(value) : value}`);
    }
  }
  return parts.join(" ") + "\n";
}

/** Quoted where it would not read as one word; no control character reaches a terminal. */
function shown(text: string): string {
  return /^[\w.:/@[\]*-]+$/.test(text) ? text : JSON.stringify(text).replaceAll("\x7f", "\\u007f");
}
