/**
 * The thread that `edge/slow-signer.ts` starts: it holds keys that sign slowly, and signs with them.
 * @module
 */
import { parentPort } from "node:worker_threads";

import { chooseCrypto } from "./crypto/choose.ts";
import type { SigningKey } from "./crypto/crypto.ts";
import type { FromSigner, ToSigner } from "./edge/slow-signer.ts";
import { SCHEME_NAMES } from "./tls/suites.ts";

// Every provider leaves RSA to the runtime.
const crypto = chooseCrypto({ force: "native" });
const keys = new Map<number, SigningKey>();
const say = (message: FromSigner) => parentPort!.postMessage(message);

parentPort!.on("message", (message: ToSigner) => {
  switch (message.kind) {
    case "key":
      return take(message.key, message.pem);
    case "forget":
      keys.delete(message.key);
      return;
    case "sign":
      return say({ kind: "signed", id: message.id, signature: signature(message) });
  }
});
say({ kind: "ready" });

/** One that cannot be read is as if it had not come: its signatures say so. */
function take(number: number, pem: Uint8Array): void {
  try {
    keys.set(number, crypto.signingKey(new TextDecoder().decode(pem)));
  } catch {
    // read once before it came here, so it is never this
  } finally {
    pem.fill(0);
  }
}

/** Undefined: there is no such key, or it cannot sign in this way. */
function signature(
  { key, scheme, content }: Extract<ToSigner, { kind: "sign" }>,
): Uint8Array | undefined {
  try {
    return keys.get(key)?.sign(SCHEME_NAMES.get(scheme)!, content);
  } catch {
    return undefined;
  }
}
