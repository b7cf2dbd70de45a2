/**
 * Chromium without a window, as far as a test has to see through its eyes: over its DevTools protocol, by a pipe.
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable, Writable } from "node:stream";

import { words } from "./run.ts";

/** Of what is in the window. */
export interface Seen {
  /** Why the address could not be shown, as Chromium calls it; undefined: it was. */
  readonly trouble: string | undefined;
  /** What the padlock says: "secure", "insecure", "insecure-broken", … */
  readonly security: string;
  /** HTML as it stands once it has loaded. */
  readonly page: string;
  readonly png: Buffer;
}

export interface BrowserOptions {
  readonly home: string;
  /** Holds its profile: new each time. */
  readonly profile: string;
  readonly width: number;
  readonly height: number;
}

/** Opens a window, goes there, and ends. @throws {Error} with what it said, where it does not come to that */
export async function look(url: string, options: BrowserOptions): Promise<Seen> {
  const browser = await Browser.start(options);
  try {
    return await browser.look(url);
  } finally {
    await browser.end();
  }
}

const running = new Set<ChildProcess>();
process.once("exit", () => {
  for (const { pid } of running) killGroup(pid);
});

const TIMEOUT_MS = 40_000;

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Record<string, unknown>;
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly message: string };
}

class Browser {
  readonly #child: ChildProcess;
  readonly #listeners = new Set<(message: Message) => void>();
  readonly #ended: Promise<unknown>;
  #said = "";
  #count = 0;
  #session: string | undefined;

  private constructor(child: ChildProcess) {
    this.#child = child;
    running.add(child);
    this.#ended = once(child, "close").finally(() => running.delete(child));
    child.stderr!.on("data", (chunk: Buffer) => this.#said += chunk.toString());
    child.stdio[3]!.on("error", () => {}); // told by its end
    let rest = "";
    (child.stdio[4] as Readable).setEncoding("utf8").on("data", (text: string) => {
      const messages = (rest + text).split("\0");
      rest = messages.pop()!;
      for (const message of messages) {
        for (const listener of this.#listeners) listener(JSON.parse(message) as Message);
      }
    });
  }

  static async start({ home, profile, width, height }: BrowserOptions): Promise<Browser> {
    const child = spawn(
      "chromium",
      words`--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run
      --disable-background-networking --disable-component-update --disable-sync
      --remote-debugging-pipe --user-data-dir=${profile} --window-size=${width},${height}
      about:blank`,
      {
        // A group of its own: it has many children.
        detached: true,
        env: { ...process.env, HOME: home },
        stdio: ["ignore", "ignore", "pipe", "pipe", "pipe"],
      },
    );
    await once(child, "spawn");
    return new Browser(child);
  }

  async look(url: string): Promise<Seen> {
    const { targetId } = await this.#ask("Target.createTarget", { url: "about:blank" });
    const attached = await this.#ask("Target.attachToTarget", { targetId, flatten: true });
    this.#session = attached["sessionId"] as string;
    let security = "unknown";
    this.#listeners.add(({ method, params }) => {
      if (method !== "Security.visibleSecurityStateChanged") return;
      const state = params!["visibleSecurityState"] as { securityState: string };
      security = state.securityState;
    });
    await this.#ask("Page.enable");
    await this.#ask("Security.enable");
    const loaded = this.#until(({ method }) => method === "Page.loadEventFired");
    const { errorText } = await this.#ask("Page.navigate", { url });
    await loaded;
    const expression = "document.documentElement.outerHTML";
    const { result } = await this.#ask("Runtime.evaluate", { expression });
    const { data } = await this.#ask("Page.captureScreenshot", { format: "png" });
    return {
      trouble: errorText as string | undefined,
      security,
      page: (result as { value: string }).value,
      png: Buffer.from(data as string, "base64"),
    };
  }

  async end(): Promise<void> {
    killGroup(this.#child.pid);
    await this.#ended;
  }

  async #ask(
    method: string,
    params: Record<string, unknown> = {},
  ): Promise<Record<string, unknown>> {
    const id = ++this.#count;
    const answered = this.#until((message) => message.id === id);
    const message = { id, method, params, ...this.#session && { sessionId: this.#session } };
    (this.#child.stdio[3] as Writable).write(`${JSON.stringify(message)}\0`);
    const { result, error } = await answered;
    if (error !== undefined) throw new Error(`${method}: ${error.message}`);
    return result!;
  }

  #until(is: (message: Message) => boolean): Promise<Message> {
    return new Promise((resolve, reject) => {
      const listener = (message: Message) => {
        if (is(message)) done(() => resolve(message));
      };
      const done = (settle: () => void) => {
        clearTimeout(timer);
        this.#listeners.delete(listener);
        settle();
      };
      const fail = () => done(() => reject(new Error(`Chromium does not answer: ${this.#said}`)));
      const timer = setTimeout(fail, TIMEOUT_MS);
      this.#listeners.add(listener);
      void this.#ended.then(fail);
    });
  }
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}
