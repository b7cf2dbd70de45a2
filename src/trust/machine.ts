/**
 * What trusting a root needs of the machine. Tests have one of their own.
 * @module
 */
import { spawn } from "node:child_process";
import { access, constants } from "node:fs/promises";
import { delimiter, join } from "node:path";
import process from "node:process";

export interface Machine {
  /** As `process.platform` has it. */
  readonly platform: string;
  /** May it write where the system's roots lie? Else through sudo. */
  readonly isRoot: boolean;
  /** May sudo ask for a password? */
  readonly mayAsk: boolean;
  /** NSS databases of browsers are below it. */
  readonly home: string | undefined;
  readonly javaHome: string | undefined;
  readonly anchorFolders: readonly AnchorFolder[];
  /** The path of a program; undefined: it is not there. */
  find(program: string): Promise<string | undefined>;
  /** Runs a program, without a shell. It resolves also where the program cannot be run or takes too long. */
  run(command: readonly string[], input?: string): Promise<RunResult>;
}

export interface RunResult {
  /** 0: success. -1: it did not run, or not to its end. */
  readonly code: number;
  /** What it said on standard output and error. */
  readonly output: string;
}

/** Where a Linux system takes further roots from. */
export interface AnchorFolder {
  readonly folder: string;
  readonly extension: "pem" | "crt";
  /** To be run after a change. */
  readonly update: readonly string[];
}

/** acme §12.6: Fedora, Debian, openSUSE, Arch; the first that exists. */
export const ANCHOR_FOLDERS: readonly AnchorFolder[] = [
  {
    folder: "/etc/pki/ca-trust/source/anchors",
    extension: "pem",
    update: ["update-ca-trust", "extract"],
  },
  {
    folder: "/usr/local/share/ca-certificates",
    extension: "crt",
    update: ["update-ca-certificates"],
  },
  {
    folder: "/usr/share/pki/trust/anchors",
    extension: "crt",
    update: ["update-ca-certificates"],
  },
  {
    folder: "/etc/ca-certificates/trust-source/anchors",
    extension: "crt",
    update: ["trust", "extract-compat"],
  },
];

/** The one that sotto runs on. @param mayAsk false: no password is asked for */
export function thisMachine(mayAsk: boolean): Machine {
  const { HOME: home, JAVA_HOME: javaHome } = process.env;
  return {
    platform: process.platform,
    isRoot: process.getuid?.() === 0,
    mayAsk,
    home,
    javaHome,
    anchorFolders: ANCHOR_FOLDERS,
    find: (program) => findProgram(program, process.env.PATH ?? ""),
    run: runProgram,
  };
}

/** In PATH, and where administrators' and Homebrew's programs are that it often lacks. */
export async function findProgram(program: string, path: string): Promise<string | undefined> {
  for (const folder of [...path.split(delimiter), ...MORE_FOLDERS]) {
    if (folder === "") continue;
    const candidate = join(folder, program);
    try {
      await access(candidate, constants.X_OK);
      return candidate;
    } catch {
      // not there
    }
  }
  return undefined;
}

const MORE_FOLDERS = [
  "/usr/sbin",
  "/sbin",
  "/usr/local/sbin",
  "/opt/homebrew/opt/nss/bin",
  "/usr/local/opt/nss/bin",
];

export function runProgram(command: readonly string[], input = ""): Promise<RunResult> {
  const [program, ...args] = command;
  return new Promise((resolve) => {
    // Told apart: which of two streams is read first is chance, and last words are on stderr.
    const said = { stdout: "", stderr: "" };
    const child = spawn(program!, args, { stdio: ["pipe", "pipe", "pipe"], timeout: TIMEOUT_MS });
    const hear = (from: keyof typeof said) => (chunk: Uint8Array): void => {
      if (said[from].length < MAX_OUTPUT) said[from] += new TextDecoder().decode(chunk);
    };
    child.stdout.on("data", hear("stdout"));
    child.stderr.on("data", hear("stderr"));
    child.on("error", (error) => resolve({ code: -1, output: error.message }));
    child.on("close", (code) => resolve({ code: code ?? -1, output: said.stdout + said.stderr }));
    child.stdin.on("error", () => {}); // it may end without reading
    child.stdin.end(input);
  });
}

/** Somebody may have to type a password. */
const TIMEOUT_MS = 120_000;
const MAX_OUTPUT = 10_000;
