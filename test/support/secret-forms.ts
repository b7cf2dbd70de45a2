import type { Buffer } from "node:buffer";

/** How a secret may stand in a text: the middle of it, so that neither padding nor what stands around it matters. */
export function waysToWrite(bytes: Buffer): string[] {
  const middle = bytes.subarray(4, 20);
  return [
    middle.toString("hex"),
    middle.toString("hex").toUpperCase(),
    ...[0, 1, 2].flatMap((shift) => {
      const part = bytes.subarray(3 + shift, 18 + shift);
      return [part.toString("base64"), part.toString("base64url")];
    }),
    [...middle].join(","),
    [...middle].join(", "),
    middle.toString("latin1"),
  ];
}
