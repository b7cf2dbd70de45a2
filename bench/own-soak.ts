/**
 * The soak of the own client: what `soak` in test/interop/go does, as far as sotto's client can. Output is the same.
 * @module
 */
import net from "node:net";
import { setTimeout as delay } from "node:timers/promises";

import type { SoakCount } from "./soak.ts";

export interface SoakKind {
  readonly name: string;
  /** Of 1000. */
  readonly weight: number;
  /** Resolves: it was ok, or injected. @throws what else became of it */
  run(): Promise<"ok" | "injected">;
}

type Counts = { -readonly [key in keyof SoakCount]: number };

/** Runs `count` connections spread over `seconds`, `concurrency` at a time, and prints how far it is, a line a second. */
export async function soak(
  kinds: readonly SoakKind[],
  { count, seconds, concurrency }: {
    readonly count: number;
    readonly seconds: number;
    readonly concurrency: number;
  },
): Promise<void> {
  const all = none();
  const byKind: Record<string, Counts> = Object.fromEntries(
    kinds.map(({ name }) => [name, none()]),
  );
  const errors: Record<string, number> = {};
  const begin = performance.now();
  const report = (): void => {
    const seconds = (performance.now() - begin) / 1000;
    console.log(JSON.stringify({ ...all, kinds: byKind, errors, seconds }));
  };
  const timer = setInterval(report, 1000);
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      const due = next++ / count * seconds * 1000;
      await delay(Math.max(0, due - (performance.now() - begin)));
      const kind = pick(kinds);
      const counts = [all, byKind[kind.name]!];
      for (const one of counts) one.attempts++;
      let outcome: "ok" | "injected" | "failed";
      try {
        outcome = await kind.run();
      } catch (error) {
        outcome = "failed";
        const text = `${kind.name}: ${String(error)}`;
        errors[text] = (errors[text] ?? 0) + 1;
      }
      for (const one of counts) one[outcome]++;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  clearInterval(timer);
  report();
}

/** Faults for which no TLS is needed. `hello`: bytes of a real one. */
export function faults(addr: string, hello: Uint8Array, patienceMs: number): SoakKind[] {
  const injected = async (bytes: Uint8Array, until: "sent" | "answered"): Promise<"injected"> => {
    const socket = await dial(addr);
    try {
      if (bytes.length > 0) socket.write(bytes);
      if (until === "answered") await answered(socket, patienceMs);
      else await delay(1);
    } finally {
      socket.destroy();
    }
    return "injected";
  };
  const garbage = (): Uint8Array => crypto.getRandomValues(hello.slice());
  return [
    {
      name: "fault: cut within the hello",
      weight: 25,
      run: () => injected(hello.subarray(0, hello.length >> 1), "sent"),
    },
    {
      name: "fault: cut before Finished",
      weight: 25,
      run: () => injected(hello, "answered"),
    },
    { name: "fault: garbage", weight: 25, run: () => injected(garbage(), "answered") },
    {
      name: "fault: silent",
      weight: 5,
      run: () => injected(new Uint8Array(0), "answered"),
    },
  ];
}

function none(): Counts {
  return { attempts: 0, ok: 0, injected: 0, failed: 0 };
}

function pick(kinds: readonly SoakKind[]): SoakKind {
  let at = Math.random() * kinds.reduce((sum, { weight }) => sum + weight, 0);
  return kinds.find(({ weight }) => (at -= weight) < 0) ?? kinds[0]!;
}

async function dial(addr: string): Promise<net.Socket> {
  const [, host, port] = /^(.*):(\d+)$/.exec(addr)!;
  const socket = net.connect(Number(port), host);
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  socket.on("error", () => socket.destroy());
  return socket;
}

/** The server has a word to it, or ends it. @throws {Error} neither in time */
function answered(socket: net.Socket, patienceMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`no answer within ${patienceMs} ms`)),
      patienceMs,
    );
    const done = (): void => {
      clearTimeout(timer);
      resolve();
    };
    socket.once("data", done);
    socket.once("close", done);
  });
}
