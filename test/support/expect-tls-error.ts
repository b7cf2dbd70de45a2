import { expect } from "vitest";
import type { AlertName } from "../../src/tls/alert.ts";
import { type Reason, TlsError } from "../../src/tls/error.ts";

/** `run` throws a TlsError of exactly that reason, answered by exactly that alert. */
export function expectTlsError(run: () => unknown, reason: Reason, alert: AlertName): void {
  let result: unknown;
  try {
    result = run();
  } catch (error) {
    if (!(error instanceof TlsError)) throw error;
    expect({ reason: error.reason, alert: error.alert }).toEqual({ reason, alert });
    return;
  }
  expect.fail(`nothing was thrown, expected "${reason}"; result: ${JSON.stringify(result)}`);
}

/** The result of `run`; undefined if it threw a TlsError. Whatever else is thrown goes on. */
export function unlessTlsError<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    if (error instanceof TlsError) return undefined;
    throw error;
  }
}
