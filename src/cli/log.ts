/**
 * The log: one line per event, for people or for machines.
 * @module
 */
import { limitEvents } from "../edge/limited-log.ts";
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
  const limited = limitEvents({
    event: (level, event, fields) => write(line(now(), level, event, fields)),
  }, now);
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
      if (RANKS[level] >= RANKS[settings.logLevel]) limited.event(level, event, fields);
    },
  };
}

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
