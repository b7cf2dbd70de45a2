/**
 * Takes ports, and says what to do where one cannot be had.
 * @module
 */
import type { Listener } from "../runtime/runtime.ts";

/** Bound before all others: where families are joined it takes IPv4 as well. */
export const ANY_IPV6 = "::";

export interface BindWish {
  /**
   * IP addresses. One that this machine does not have is passed over as long as another is left; so is one of IPv4 that
   * `::` has taken already, where it does.
   */
  readonly addresses: readonly string[];
  /** The first that can be had on every address; 0: a free one, the same on every address. */
  readonly ports: readonly number[];
  /** What the port is set with, for messages: `https_port in sotto.toml or --https-port N`. */
  readonly option: string;
}

/** No port could be had. The message names the way out; `code` is the system's. */
export class BindError extends Error {
  override readonly name = "BindError";
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export interface BindOptions {
  /** As a runtime says it. Default: false. */
  readonly joinsFamilies?: boolean;
}

export type Listen = (hostname: string, port: number) => Promise<Listener>;

/** @throws {BindError} about the last port that was tried */
export async function bind(
  listen: Listen,
  wish: BindWish,
  options: BindOptions = {},
): Promise<Listener[]> {
  let trouble: unknown;
  for (const port of wish.ports) {
    // A free port on one address may be taken on the next: another is tried then.
    for (let attempt = 0; attempt < (port === 0 ? MAX_ATTEMPTS : 1); attempt++) {
      try {
        return await bindAll(listen, wish, port, options);
      } catch (error) {
        if (!(error instanceof BindError)) throw error;
        trouble = error;
        if (error.code !== "EADDRINUSE") break;
      }
    }
  }
  throw trouble;
}

const MAX_ATTEMPTS = 8;

async function bindAll(
  listen: Listen,
  wish: BindWish,
  port: number,
  { joinsFamilies = false }: BindOptions,
): Promise<Listener[]> {
  const listeners: Listener[] = [];
  let absent: BindError | undefined;
  const addresses = wish.addresses.toSorted((a, b) =>
    Number(b === ANY_IPV6) - Number(a === ANY_IPV6)
  );
  for (const address of addresses) {
    const isTaken = joinsFamilies && listeners[0]?.hostname === ANY_IPV6;
    if (isTaken && !address.includes(":")) continue;
    const wanted = listeners[0]?.port ?? port;
    try {
      listeners.push(await listen(address, wanted));
    } catch (error) {
      const trouble = explain(error, address, wanted, wish.option);
      if (ABSENT.has(trouble.code)) {
        absent = trouble;
        continue;
      }
      await Promise.all(listeners.map((listener) => listener.stop()));
      throw trouble;
    }
  }
  if (listeners.length === 0) throw absent;
  return listeners;
}

/** This machine has no such address, or none of its family. */
const ABSENT: ReadonlySet<string> = new Set(["EADDRNOTAVAIL", "EAFNOSUPPORT"]);

function explain(cause: unknown, address: string, port: number, option: string): BindError {
  if (cause instanceof BindError) return cause;
  const code = (cause as NodeJS.ErrnoException).code ?? "";
  const place = address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
  const message = () => {
    switch (code) {
      case "EADDRINUSE":
        return `Cannot listen on ${place}: another process has it. ` +
          `See which one with: ss -ltnp 'sport = :${port}'. Stop it, or take another port with ${option}`;
      case "EACCES":
      case "EPERM":
        if (port >= 1024) {
          return `Cannot listen on ${place}: the system does not allow it (${code})`;
        }
        return `Cannot listen on ${place}: ports below 1024 take the right CAP_NET_BIND_SERVICE, which this user lacks. ` +
          `Take another port with ${option}, or have the right: in a systemd unit by ` +
          "AmbientCapabilities=CAP_NET_BIND_SERVICE, else, for everything that this runtime runs, by: " +
          `sudo setcap cap_net_bind_service=+ep ${process.execPath}`;
      case "EADDRNOTAVAIL":
      case "EAFNOSUPPORT":
        return `Cannot listen on ${place}: this machine has no such address. ` +
          "Name one of its own with listen in sotto.toml or --listen ADDRESS";
      default:
        return `Cannot listen on ${place}: ${(cause as Error).message}`;
    }
  };
  return new BindError(code, message(), { cause });
}
