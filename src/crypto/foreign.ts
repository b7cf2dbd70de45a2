/**
 * Functions of the system's shared libraries, called through the foreign function interface of Bun or Deno.
 *
 * C checks no bounds: whoever calls one of these functions has made sure that its arrays are as long as it takes them for.
 * Nothing here calls back, or is kept by a library beyond the call.
 *
 * @module
 */
import process from "node:process";

/** Each symbol's parameters and its result. A buffer may be null where the library allows that; a pointer is its own. */
export type Symbols = Readonly<Record<string, Signature>>;
type Type = "pointer" | "buffer" | "i32" | "u32" | "u64" | "usize" | "void";
type Signature = readonly [parameters: readonly Type[], result: Type];

/** Something of the library's. Only where it lies is known, in the runtime's own form. */
export type Pointer = { readonly of: "library" };
type Value<T extends Type> = T extends "pointer" ? Pointer | null
  : T extends "buffer" ? Uint8Array | Uint32Array | BigUint64Array
  : T extends "void" ? void
  : T extends "usize" | "u64" ? number | bigint
  : number;
type Values<T extends readonly Type[]> = { [I in keyof T]: Value<T[I]> };

export type ForeignFunctions<S extends Symbols> = {
  readonly [N in keyof S]: (...values: Values<S[N][0]>) => Value<S[N][1]>;
};

/**
 * A length, as `usize`, in the form that makes for the quicker call: on Deno a number there costs 0.1 µs more than a bigint,
 * made anew.
 */
export const size: (length: number) => number | bigint = process.versions["deno"] === undefined
  ? (length) => length
  : BigInt;

/**
 * @param file a name that the system looks up, or a path
 * @throws {Error} this runtime can call no such library, or may not, or the file is none
 */
export function openForeign<const S extends Symbols>(
  file: string,
  symbols: S,
): ForeignFunctions<S> {
  const open = process.versions["bun"] !== undefined
    ? openForBun
    : process.versions["deno"] !== undefined
    ? openForDeno
    : undefined;
  if (open === undefined) throw new Error("Only Bun and Deno can call it");
  if (process.platform !== "linux") throw new Error("It is only known on Linux");
  return open(file, symbols) as ForeignFunctions<S>;
}

/** What we use of bun:ffi. */
interface BunFfi {
  readonly dlopen: (
    file: string,
    symbols: Record<string, { readonly args: readonly string[]; readonly returns: string }>,
  ) => { readonly symbols: unknown };
}

function openForBun(file: string, symbols: Symbols): unknown {
  const { dlopen } = process.getBuiltinModule("bun:ffi") as BunFfi;
  const named = (type: Type) => type === "pointer" ? "ptr" : type;
  const described = Object.entries(symbols).map(([name, [parameters, result]]) => [
    name,
    { args: parameters.map(named), returns: named(result) },
  ]);
  return dlopen(file, Object.fromEntries(described)).symbols;
}

/** What we use of Deno's global. */
interface DenoFfi {
  readonly permissions: {
    querySync(what: { readonly name: "ffi"; readonly path?: string }): {
      readonly state: string;
      /** Granted, but for some files. */
      readonly partial?: boolean;
    };
  };
  dlopen(
    file: string,
    symbols: Record<string, { readonly parameters: readonly string[]; readonly result: string }>,
  ): { readonly symbols: unknown };
}

function openForDeno(file: string, symbols: Symbols): unknown {
  const { Deno } = globalThis as unknown as { readonly Deno: DenoFfi };
  // Without permission it would ask on the terminal. With one that names files, it takes a name for a path, and looks
  // where it was started.
  const isPath = file.includes("/");
  const { state, partial } = Deno.permissions.querySync(
    isPath ? { name: "ffi", path: file } : { name: "ffi" },
  );
  if (state !== "granted" || (partial === true && !isPath)) {
    throw new Error("It may not be called: Deno wants --allow-ffi for that");
  }
  const described = Object.entries(symbols).map(([name, [parameters, result]]) => [
    name,
    { parameters, result },
  ]);
  return Deno.dlopen(file, Object.fromEntries(described)).symbols;
}
