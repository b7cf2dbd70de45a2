/**
 * What is secret, read from where it lies, and whether a text gives any of it away.
 * @module
 */
import { createPrivateKey, type JsonWebKey, type KeyObject } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

import { chooseCrypto } from "../../../src/crypto/choose.ts";
import { decodeSnapshot } from "../../../src/snapshot/codec.ts";
import { SiteCredential } from "../../../src/snapshot/credential.ts";
import { freshTicketKey, TicketKeys } from "../../../src/tls/tickets.ts";
import { waysToWrite } from "../../support/secret-forms.ts";

interface Form {
  readonly name: string;
  readonly form: string;
}

export class Secrets {
  readonly #forms: Form[] = [];
  readonly #tickets: Uint8Array[] = [];

  /** Where they come from. */
  get names(): string[] {
    return [...new Set(this.#forms.map(({ name }) => name))];
  }

  /** As it is and in no other form: of 12 characters or more. */
  addText(name: string, form: string): void {
    if (form.length < 12) throw new RangeError(`${name} may stand anywhere by chance`);
    this.#forms.push({ name, form });
  }

  /** Of 24 bytes or more. */
  add(name: string, bytes: Buffer): void {
    if (bytes.length < 24) throw new RangeError(`${name} is too short`);
    for (const form of waysToWrite(bytes)) this.addText(name, form);
  }

  addPem(name: string, pem: string): void {
    const lines = pem.split(/\r?\n/).filter((line) => line.length >= 20 && !line.startsWith("---"));
    for (const line of lines) this.addText(name, line);
    this.addKey(name, createPrivateKey(pem));
  }

  addKey(name: string, key: KeyObject): void {
    const { d, p, q } = key.export({ format: "jwk" }) as JsonWebKey;
    for (const part of [d, p, q]) {
      if (part !== undefined) this.add(name, Buffer.from(part, "base64url"));
    }
  }

  /** The key that it was sealed with is a secret, whatever it is. @param session of node:tls, DER */
  addTicketOf(session: Buffer): void {
    const [high, low] = [TICKET_LENGTH >> 8, TICKET_LENGTH & 0xff];
    const octets = TICKET_LENGTH < 256 ? [0x04, 0x81, low] : [0x04, 0x82, high, low];
    const at = session.indexOf(Buffer.from(octets));
    if (at < 0) throw new Error("there is no ticket of sotto's in the session");
    this.#tickets.push(session.subarray(at + octets.length, at + octets.length + TICKET_LENGTH));
  }

  /** The names of those that it holds. */
  foundIn(text: string): string[] {
    const found = this.#forms.filter(({ form }) => text.includes(form)).map(({ name }) => name);
    if (this.#tickets.length > 0 && candidates(text).some((key) => this.#opens(key))) {
      found.push("ticket key");
    }
    return [...new Set(found)];
  }

  #opens(key: Uint8Array): boolean {
    return this.#tickets.some((ticket) => {
      const name = ticket.slice(0, 16);
      return new TicketKeys(CRYPTO, [{ name, key, createdMs: 0 }], 3600).open(ticket) !== undefined;
    });
  }
}

const CRYPTO = chooseCrypto();
const KEY_LENGTH = 32;
const TICKET_LENGTH = new TicketKeys(CRYPTO, [freshTicketKey(CRYPTO, 0)], 3600).seal({
  suite: 0x1301,
  psk: new Uint8Array(32),
  createdMs: 0,
  authenticatedSeconds: 0,
  lifetimeSeconds: 0,
  ageAdd: 0,
  serverNameHash: new Uint8Array(32),
  alpn: undefined,
  policyId: 0,
  echAccepted: false,
}).length;

/** Every 32 bytes that stand in a text in hexadecimal, base64 or as numbers. */
function candidates(text: string): Uint8Array[] {
  const runs: Buffer[] = [];
  for (const [run] of text.matchAll(/[0-9a-f]{64,}/gi)) {
    runs.push(Buffer.from(run, "hex"), Buffer.from(run.slice(1), "hex"));
  }
  for (const [run] of text.matchAll(/[\w+/-]{43,}/g)) {
    for (let shift = 0; shift < 4; shift++) runs.push(Buffer.from(run.slice(shift), "base64"));
  }
  for (const [run] of text.matchAll(/\d{1,3}(?:, ?\d{1,3}){31,}/g)) {
    runs.push(Buffer.from(run.split(",").map(Number)));
  }
  return runs.flatMap((run) =>
    Array.from(
      { length: Math.max(0, run.length - KEY_LENGTH + 1) },
      (_, at) => Uint8Array.from(run.subarray(at, at + KEY_LENGTH)),
    )
  );
}

/**
 * All that is secret in a data folder where nobody comes or goes. Each file has to be of a kind that is known here.
 *
 * @throws {Error} one is not, or a secret is not its owner's alone
 */
export function addDataFolder(secrets: Secrets, folder: string): void {
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    if (TEMPORARY.test(name)) continue;
    const path = join(folder, name);
    const status = statSync(path, { throwIfNoEntry: false });
    if (status === undefined || status.isDirectory() || status.isSocket()) continue;
    const kind = KINDS.find(([pattern]) => pattern.test(name));
    if (kind === undefined) throw new Error(`Is ${name} secret? It is of no kind that is known`);
    const [, read] = kind;
    if (read === undefined) continue;
    if ((status.mode & 0o077) !== 0) throw new Error(`${name} is open to others`);
    read(secrets, name, readFileSync(path));
  }
}

/** On its way to a name of its own. */
const TEMPORARY = /~[^/]*$/;

type Read = (secrets: Secrets, name: string, content: Buffer) => void;

/** By the name in the folder; undefined: public. */
const KINDS: readonly (readonly [RegExp, Read | undefined])[] = [
  [
    /^pki\/authorities\/[\w-]+\/[\w-]+\.key$/,
    (secrets, name, pem) => secrets.addPem(name, pem.toString()),
  ],
  [/^pki\/authorities\/[\w-]+\/[\w-]+\.crt$/, undefined],
  [/^pki\/authorities\/[\w-]+\/trust\.json$/, undefined],
  [/^certificates\/local\/[^/]+\.json$/, readLeaf],
  [/^ech\/keys\/[\w-]+\.json$/, readEchKey],
  [/^ech\/key-set\.json$/, undefined],
  [/^config\.bin$/, undefined], // sotto.toml, which names files
  [/^(instances\/[^/]+\/[\w-]+\.states\/\d+\/)?snapshot\.bin$/, readSnapshot],
  [/^instances\/[^/]+\/[^/]+\.(json|worker)$/, readMark],
];

interface LeafPair {
  readonly certificate: string;
  readonly key: string;
}

function readLeaf(secrets: Secrets, name: string, content: Buffer): void {
  const { sans: _, previous, ...leaf } = fields<LeafPair & { sans: unknown; previous?: LeafPair }>(
    name,
    content,
    ["sans", "certificate", "key", "previous"],
  );
  for (const { key } of [leaf, ...previous === undefined ? [] : [previous]]) {
    secrets.addPem(name, key);
  }
}

function readEchKey(secrets: Secrets, name: string, content: Buffer): void {
  const allowed = ["privateKey", "config", "retry", "created"];
  const { privateKey } = fields<{ privateKey: string }>(name, content, allowed);
  secrets.addText(name, privateKey);
  secrets.add(name, Buffer.from(privateKey, "base64"));
}

/** A lock, or a worker's mark: who somebody is. */
function readMark(_secrets: Secrets, name: string, content: Buffer): void {
  fields(name, content, ["pid", "began", "boot", "container", "supervisor", "address"]);
}

function fields<T>(name: string, content: Buffer, allowed: readonly string[]): T {
  const value = JSON.parse(content.toString()) as Record<string, unknown>;
  const unknown = Object.keys(value).filter((field) => !allowed.includes(field));
  if (unknown.length > 0) throw new Error(`Is ${unknown.join(", ")} of ${name} secret?`);
  return value as T;
}

function readSnapshot(secrets: Secrets, name: string, content: Buffer): void {
  const { table, ech } = decodeSnapshot(CRYPTO, Uint8Array.from(content));
  const place = name.startsWith("instances/") ? "states" : name;
  const { slots } = table;
  for (let i = 0; i < slots.length; i++) {
    for (const credential of slots.get(i)?.tls.credentials ?? []) {
      if (!(credential instanceof SiteCredential)) {
        throw new Error(`what credential is in ${name}?`);
      }
      secrets.addPem(place, credential.keyPem);
    }
  }
  secrets.addText(place, slots.keySeed.join(","));
  for (const { privateKey } of ech?.keys ?? []) secrets.add(place, Buffer.from(privateKey));
}
