/**
 * `user = "name"`: started as root for the sake of ports below 1024, served as somebody else.
 *
 * From the start only the real user is root: what is opened, made or read is that of the user named, so no file comes
 * about that the server could not read again later. Binding alone happens as root. Then root is gone for good, which is
 * tried and not believed.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import process from "node:process";

/** The user cannot be had; the message says what to do. Nothing may be served then. */
export class UserError extends Error {
  override readonly name = "UserError";
}

export interface User {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups, `gid` among them. */
  readonly groups: readonly number[];
}

/**
 * Takes on the user's identity, with a way back for `raised`.
 *
 * @returns undefined where this process is that user already and nothing more
 * @throws {UserError}
 */
export function assumeUser(name: string): Privileges | undefined {
  const user = findUser(name);
  const ids = process as Partial<Ids>;
  if (!isWhole(ids)) throw new UserError(`Cannot become ${name}: this system knows no users`);
  if (ids.getuid() !== 0) {
    if (ids.getuid() === user.uid && ids.geteuid() === user.uid) return undefined;
    throw new UserError(
      `Cannot become ${name}: only root can, and this is user ${ids.getuid()}. ` +
        `Start as root, or leave \`user\` out`,
    );
  }
  if (user.uid === 0) {
    throw new UserError(`Cannot give up root for ${name}: its id is 0 too. Name another user`);
  }
  const privileges = new Privileges(user, ids);
  privileges.lower();
  return privileges;
}

/** What the system's user database says, wherever it is kept. @throws {UserError} */
export function findUser(name: string): User {
  if (!/^[a-z_][a-z0-9_.-]*\$?$/i.test(name)) {
    throw new UserError(`Cannot become ${JSON.stringify(name)}: this is no user's name`);
  }
  const ask = (flag: string) => {
    try {
      const answer = execFileSync("id", [flag, name], { stdio: ["ignore", "pipe", "pipe"] });
      return answer.toString().trim().split(/\s+/).map(Number);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === "ENOENT") {
        throw new UserError(`Cannot become ${name}: the command id is missing`, { cause });
      }
      throw new UserError(
        `Cannot become ${name}: there is no such user. Make one with: useradd --system ${name}`,
        { cause },
      );
    }
  };
  const [uid] = ask("-u");
  const [gid] = ask("-g");
  const groups = ask("-G");
  if (![uid, gid, ...groups].every(Number.isSafeInteger)) {
    throw new UserError(`Cannot become ${name}: the command id does not answer with numbers`);
  }
  return { name, uid: uid!, gid: gid!, groups };
}

export class Privileges {
  readonly user: User;
  readonly #ids: Ids;

  /** For `assumeUser`. */
  constructor(user: User, ids: Ids) {
    this.user = user;
    this.#ids = ids;
  }

  /** For `assumeUser`: files are the user's from now on. The way back to root stays open. */
  lower(): void {
    const { name, uid, gid, groups } = this.user;
    try {
      this.#ids.seteuid(0); // a parent that had lowered itself hands on no more than the way back
      setGroups(this.#ids, groups);
      this.#ids.setegid(gid);
      this.#ids.seteuid(uid);
    } catch (cause) {
      throw new UserError(`Cannot become ${name}: ${(cause as Error).message}`, { cause });
    }
  }

  /** Makes a folder that is not there yet, and gives it to the user. Its parents have to be there. */
  makeFolder(path: string): void {
    if (existsSync(path)) return;
    this.#ids.seteuid(0);
    try {
      mkdirSync(path, { mode: 0o700 });
      chownSync(path, this.user.uid, this.user.gid);
      chmodSync(path, 0o700);
    } catch {
      // Whoever opens the store says it in full.
    } finally {
      this.#ids.seteuid(this.user.uid);
    }
  }

  /** Does `work` as root. Only before `drop`, and with nothing else under way. */
  async raised<T>(work: () => Promise<T>): Promise<T> {
    this.#ids.seteuid(0);
    try {
      return await work();
    } finally {
      this.#ids.seteuid(this.user.uid);
    }
  }

  /**
   * Gives root up for good, and sees that it is gone.
   *
   * @throws {UserError} where anything of it is left: do not serve
   */
  drop(): void {
    const { name, uid, gid } = this.user;
    const ids = this.#ids;
    try {
      ids.seteuid(0);
      ids.setgid(gid);
      ids.setuid(uid);
    } catch (cause) {
      throw new UserError(`Cannot become ${name}: ${(cause as Error).message}`, { cause });
    }
    const left = whatIsLeft(this.user, ids);
    if (left === undefined) return;
    throw new UserError(`Cannot serve as ${name}: ${left} after giving up root`);
  }
}

/** Undefined: nothing. */
function whatIsLeft(user: User, ids: Ids): string | undefined {
  const { uid, gid } = user;
  if (ids.getuid() !== uid || ids.geteuid() !== uid) return `the user is ${ids.geteuid()}`;
  if (ids.getgid() !== gid || ids.getegid() !== gid) return `the group is ${ids.getegid()}`;
  const strange = ids.getgroups().find((group) => group !== gid && !user.groups.includes(group));
  if (strange !== undefined) return `the group ${strange} is left`;
  const ways: [string, () => void][] = [
    ["setuid", () => ids.setuid(0)],
    ["seteuid", () => ids.seteuid(0)],
    ["setgid", () => ids.setgid(0)],
  ];
  for (const [way, tryIt] of gid === 0 ? ways.slice(0, 2) : ways) {
    try {
      tryIt();
      return `${way} brings root back`;
    } catch {
      // as it has to be
    }
  }
  return process.platform === "linux" ? whatThreadsKeep(user) : undefined;
}

/** Ids and capabilities belong to threads: one that was left out would keep the doors open for all. */
function whatThreadsKeep({ uid, gid }: User): string | undefined {
  let threads: string[];
  try {
    threads = readdirSync("/proc/self/task");
  } catch {
    return undefined; // no /proc here
  }
  for (const thread of threads) {
    let status: string;
    try {
      status = readFileSync(`/proc/self/task/${thread}/status`, "latin1");
    } catch {
      continue; // it has ended
    }
    const field = (name: string) =>
      new RegExp(`^${name}:\\s*(.*)$`, "m").exec(status)?.[1]?.trim().split(/\s+/) ?? [];
    if (field("Uid").some((id) => id !== `${uid}`)) return "a thread has another user";
    if (field("Gid").some((id) => id !== `${gid}`)) return "a thread has another group";
    for (const set of ["CapPrm", "CapEff", "CapAmb"]) {
      if (field(set).some((bits) => /[^0]/.test(bits))) return `a thread has capabilities (${set})`;
    }
  }
  return undefined;
}

/** Deno has all of these but `setgroups`: libc is asked there, which sets them for all threads alike. */
function setGroups(ids: Ids, groups: readonly number[]): void {
  if (ids.setgroups !== undefined) return ids.setgroups([...groups]);
  const deno = (globalThis as unknown as { Deno?: Deno }).Deno;
  if (deno === undefined) throw new TypeError("this runtime cannot set groups");
  const name = process.platform === "darwin" ? "libSystem.dylib" : "libc.so.6";
  const libc = deno.dlopen(name, {
    setgroups: { parameters: ["usize", "buffer"], result: "i32" },
  });
  try {
    const result = libc.symbols.setgroups(BigInt(groups.length), Uint32Array.from(groups));
    if (result !== 0) throw new TypeError("setgroups failed");
  } finally {
    libc.close();
  }
}

function isWhole(ids: Partial<Ids>): ids is Ids {
  return ids.getuid !== undefined && ids.setuid !== undefined && ids.seteuid !== undefined;
}

/** What we use of `process`; Windows has none of it. */
interface Ids {
  getuid(): number;
  geteuid(): number;
  getgid(): number;
  getegid(): number;
  getgroups(): number[];
  setuid(id: number): void;
  seteuid(id: number): void;
  setgid(id: number): void;
  setegid(id: number): void;
  setgroups?(groups: number[]): void;
}

/** What we use of Deno's globals. */
interface Deno {
  dlopen(name: string, symbols: object): {
    readonly symbols: { setgroups(size: bigint, list: Uint32Array): number };
    close(): void;
  };
}
