/**
 * What a supervisor and its workers say to each other. Each message is looked at before it is believed: the other end
 * may be of another version, or broken.
 * @module
 */
import * as z from "zod/mini";

import type { HandlerSpec } from "../snapshot/snapshot.ts";

/** Of one message, up and down: a state with 100,000 sites, each before another server, goes down. */
export const MAX_UP_BYTES = 1024 * 1024;
export const MAX_DOWN_BYTES = 64 * 1024 * 1024;

/** That a worker has open at a time; the oldest is given up for one more. */
export const MAX_OPEN_QUESTIONS = 1_024;

const count = z.int().check(z.minimum(0));
const port = z.int().check(z.minimum(0), z.maximum(65535));
const place = z.object({ hostname: z.string(), port });
const tally = z.record(z.string(), z.number());
/** A host name or an IP address. */
const name = z.string().check(z.minLength(1), z.maxLength(255));
/** acme §7a: base64url. */
const token = z.string().check(z.regex(/^[\w-]{1,128}$/));
const identity = { pid: count, began: z.string(), boot: z.string(), container: z.string() };

/** All that a worker needs to serve by; where secrets are in it, they go this way or by a file of mode 0600. */
const state = z.object({
  /** Path of the file with sites, credentials and ECH keys. The same path is the same content. */
  snapshot: z.string(),
  tickets: z.object({
    lifetimeSeconds: z.number(),
    /** Base64. */
    keys: z.array(z.object({ name: z.string(), key: z.string(), createdMs: z.number() })),
  }),
  ech: z.object({
    enabled: z.boolean(),
    publicName: z.string(),
    strictOuterSni: z.boolean(),
    greaseHelloRetry: z.boolean(),
  }),
  limits: z.record(z.string(), z.union([z.number(), z.boolean()])),
  /** What sites stand before, each once. Checked where the configuration was. */
  handlers: z.array(z.custom<HandlerSpec>(isHandlerSpec)),
});

function isHandlerSpec(value: unknown): boolean {
  return typeof value === "object" && value !== null && "kind" in value &&
    typeof value.kind === "string";
}

/** From the supervisor. */
export const downMessage = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("start"),
    worker: count,
    supervisor: z.object(identity),
    dataFolder: z.string(),
    https: z.array(place),
    http: z.array(place),
    options: z.object({ https: z.string(), http: z.string() }),
    user: z.optional(z.string()),
    keyLog: z.optional(z.string()),
    /** Events of level debug are wanted. */
    debug: z.boolean(),
    /** They may name sites that ECH hides. */
    names: z.boolean(),
    slowSignatures: z.enum(["thread", "inline"]),
    state,
  }),
  /** Another state for connections from now on: "adopted" or "refused" with the same id. */
  z.object({ kind: z.literal("state"), id: count, state }),
  /** All have started: from now on serve without a supervisor, should it die. */
  z.object({ kind: z.literal("keep") }),
  z.object({ kind: z.literal("allowed"), id: count, allowed: z.boolean() }),
  z.object({ kind: z.literal("challenged"), id: count, answer: z.nullable(z.string()) }),
]);

/** From a worker. */
export const upMessage = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("hello"), pid: count }),
  z.object({
    kind: z.literal("serving"),
    /** Why there is no HTTP although it was wished for. */
    httpTrouble: z.optional(z.object({ code: z.string(), message: z.string() })),
  }),
  z.object({
    kind: z.literal("failed"),
    name: z.string(),
    code: z.string(),
    message: z.string(),
  }),
  z.object({ kind: z.literal("adopted"), id: count }),
  z.object({ kind: z.literal("refused"), id: count, message: z.string() }),
  z.object({
    kind: z.literal("onDemand"),
    id: count,
    name,
    client: z.string().check(z.maxLength(64)),
  }),
  z.object({
    kind: z.literal("challenge"),
    id: count,
    challenge: z.discriminatedUnion("kind", [
      z.object({ kind: z.literal("http-01"), token, host: name }),
      z.object({ kind: z.literal("tls-alpn-01"), name }),
    ]),
  }),
  z.object({
    kind: z.literal("log"),
    level: z.enum(["debug", "info", "warn", "error"]),
    event: z.string().check(z.maxLength(64)),
    fields: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  }),
  z.object({
    kind: z.literal("counters"),
    counters: z.record(
      z.string(),
      z.union([z.number(), tally, z.array(z.nullable(tally))]),
    ),
  }),
  /** Where it has nothing else to say: its loop still turns. */
  z.object({ kind: z.literal("alive") }),
  /** It closes its listeners: somebody told it to end. */
  z.object({ kind: z.literal("stopping") }),
]);

export type WorkerState = Readonly<z.infer<typeof state>>;
export type DownMessage = z.infer<typeof downMessage>;
export type StartMessage = Extract<DownMessage, { kind: "start" }>;
export type UpMessage = z.infer<typeof upMessage>;
