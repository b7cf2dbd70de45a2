/** Where events of the data plane go. `fields` never hold payload; names of sites only as the log allows them. */
export interface Log {
  /** False: events of level debug go nowhere, so that those which a stranger can cause need not be made. */
  readonly debug?: boolean;
  /** True: also sites that a client has hidden with ECH may be named. */
  readonly names?: boolean;
  event(level: LogLevel, event: string, fields: LogFields): void;
}

export type LogLevel = "debug" | "info" | "warn" | "error";
export type LogFields = Record<string, string | number | boolean | undefined>;

export const SILENT: Log = { event() {} };
