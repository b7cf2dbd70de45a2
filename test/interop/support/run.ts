/**
 * Child processes with an end: what they printed, and never longer than they may take.
 * @module
 */
import { spawn } from "node:child_process";

export interface Finished {
  /** Undefined: ended by a signal, as after the deadline. */
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
}

export interface RunOptions {
  readonly input?: string | Uint8Array | Feed;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly timeoutMs?: number;
}

/** Called whenever there is more output; writes what is to be said then, and ends the input when done. */
export type Feed = (
  stdoutSoFar: string,
  input: { write(text: string): void; end(): void },
) => void;

/** Runs a program to its end. Does not throw for what the program does. */
export function run(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: "pipe",
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill("SIGKILL");
    }, options.timeoutMs ?? 30_000);
    const { input } = options;
    child.stdout.on("data", (chunk: Buffer) => {
      stdout.push(chunk);
      if (typeof input === "function") input(Buffer.concat(stdout).toString(), feedable);
    });
    child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
    // A program that ends without having read everything is no fault of the test.
    child.stdin.on("error", () => {});
    const feedable = {
      write: (text: string) => void child.stdin.write(text),
      end: () => void child.stdin.end(),
    };
    if (typeof input !== "function") child.stdin.end(input);
    child.on("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on("close", (code) => {
      clearTimeout(timer);
      resolve({
        code: code ?? undefined,
        stdout: Buffer.concat(stdout).toString(),
        stderr: Buffer.concat(stderr).toString(),
        timedOut,
      });
    });
  });
}

/** As `run`, but throws, with what the program said, unless it ends well. */
export async function must(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Finished> {
  const finished = await run(command, args, options);
  if (finished.code !== 0) {
    throw new Error(
      `${command} ${args.join(" ")}: ${finished.timedOut ? "timed out" : `code ${finished.code}`}` +
        `\n${shortened(finished.stdout)}\n${shortened(finished.stderr)}`,
    );
  }
  return finished;
}

/** A message is to be read: the end of a long text is where the trouble stands. */
function shortened(text: string): string {
  return text.length <= 4000 ? text : `… ${text.slice(-4000)}`;
}

/**
 * Arguments as one would type them: `words`-template text is split at white space, a list is put in as words of its own, any
 * other value becomes part of the word that it stands in, whatever it holds.
 */
export function words(
  text: TemplateStringsArray,
  ...values: readonly (string | number | readonly string[])[]
): string[] {
  const all: string[] = [];
  let word: string | undefined;
  const end = () => {
    if (word !== undefined) all.push(word);
    word = undefined;
  };
  for (const [i, piece] of text.entries()) {
    for (const part of piece.split(/(\s+)/)) {
      if (/^\s/.test(part)) end();
      else if (part !== "") word = (word ?? "") + part;
    }
    const value = values[i];
    if (typeof value === "object") {
      end();
      all.push(...value);
    } else if (value !== undefined) {
      word = (word ?? "") + value;
    }
  }
  end();
  return all;
}
