/**
 * A worker's way from what it is told to the snapshot that it serves by.
 * @module
 */
import { dirname } from "node:path";

import { serverConfig } from "../control/server-config.ts";
import { SnapshotFile } from "../control/snapshot-file.ts";
import type { Crypto } from "../crypto/crypto.ts";
import type { StoredSnapshot } from "../snapshot/codec.ts";
import { Snapshot } from "../snapshot/snapshot.ts";
import { echKey, EchKeySet } from "../tls/ech.ts";
import { TicketKeys } from "../tls/tickets.ts";
import type { WorkerState } from "./messages.ts";

export class StateReader {
  readonly #crypto: Crypto;
  readonly #keyLog: ((line: string) => void) | undefined;
  #last: { readonly path: string; readonly stored: StoredSnapshot } | undefined;

  constructor(crypto: Crypto, keyLog: ((line: string) => void) | undefined) {
    this.#crypto = crypto;
    this.#keyLog = keyLog;
  }

  /** `rootKey`: where the certificate of the local CA's root lies in storage. @throws {Error} it cannot be read */
  async read(
    state: WorkerState,
  ): Promise<{ readonly snapshot: Snapshot; readonly rootKey: string }> {
    const stored = await this.#load(state.snapshot);
    const { table, flightPadding, defaultSni, fallbackSni, ech, rootKey } = stored;
    const crypto = this.#crypto;
    const server = serverConfig({
      config: state,
      crypto,
      keyLog: this.#keyLog,
      ech: ech && new EchKeySet(ech.keys.map((key) => echKey(crypto, key)), ech.state),
      tickets: this.#ticketKeys(state.tickets),
    }, flightPadding);
    return {
      snapshot: new Snapshot({ server, sites: [], defaultSni, fallbackSni }, table),
      rootKey,
    };
  }

  /** The same path is the same content. */
  async #load(path: string): Promise<StoredSnapshot> {
    if (this.#last?.path === path) return this.#last.stored;
    const { stored, warning } = await new SnapshotFile(dirname(path), this.#crypto).read();
    if (stored === undefined) throw new Error(warning ?? `There is no snapshot in ${path}`);
    this.#last = { path, stored };
    return stored;
  }

  #ticketKeys({ keys, lifetimeSeconds }: WorkerState["tickets"]): TicketKeys {
    const parsed = keys.map(({ name, key, createdMs }) => ({
      name: new Uint8Array(Buffer.from(name, "base64")),
      key: new Uint8Array(Buffer.from(key, "base64")),
      createdMs,
    }));
    return new TicketKeys(this.#crypto, parsed, lifetimeSeconds);
  }
}
