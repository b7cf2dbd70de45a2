/**
 * Connecting with ECH and the one retry that RFC 9849 §6.1.6 allows.
 * @module
 */
import { type ClientConnection, connect } from "./client.ts";
import { ClientError } from "./error.ts";
import type { ClientOptions, EchOptions } from "./options.ts";
import type { Transport } from "./transport.ts";

/** One connection of the attempt, as it ended. */
export interface EchTry {
  /** What was offered: the list of DNS, the server's retry_configs, or nothing. */
  readonly offered: "configured" | "retry" | "none";
  /** Undefined: it succeeded. */
  readonly error: ClientError | undefined;
}

export interface EchOutcome {
  readonly connection: ClientConnection;
  /** In order, the successful one last. */
  readonly tries: readonly EchTry[];
}

export interface EchClientOptions extends ClientOptions {
  readonly ech: EchOptions;
}

/**
 * Opens a connection with `options.ech`; where it is rejected by a server that has authenticated itself under the public
 * name, opens one more with the server's own configs, or without ECH if the server has none. A list received in that
 * second connection is not used.
 *
 * Any other failure is final: it says nothing about ECH, and no hello goes out in clear because of it.
 *
 * @param open one new connection to the server per call, at most three
 * @throws {ClientError} of the last try; `tries` tells the others, if it is given
 */
export async function connectWithRetry(
  open: () => Promise<Transport>,
  options: EchClientOptions,
  tries: EchTry[] = [],
): Promise<EchOutcome> {
  const first = await attempt("configured", options);
  if (!(first instanceof ClientError)) return { connection: first, tries };
  const { retryConfigs, echVerdict } = first;
  if (echVerdict === undefined) throw first;
  if (retryConfigs === undefined) return await withoutEch();

  const second = await attempt("retry", {
    ...options,
    ech: { ...options.ech, configList: retryConfigs },
  });
  if (!(second instanceof ClientError)) return { connection: second, tries };
  if (second.echVerdict !== "off") throw second; // servers that disagree (§6.1.6)
  return await withoutEch();

  async function withoutEch(): Promise<EchOutcome> {
    const { ech: _, ...plain } = options;
    const connection = await attempt("none", plain);
    if (connection instanceof ClientError) throw connection;
    return { connection, tries };
  }

  async function attempt(
    offered: EchTry["offered"],
    given: ClientOptions,
  ): Promise<ClientConnection | ClientError> {
    try {
      const connection = await connect(await open(), given);
      tries.push({ offered, error: undefined });
      return connection;
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
      tries.push({ offered, error });
      return error;
    }
  }
}
