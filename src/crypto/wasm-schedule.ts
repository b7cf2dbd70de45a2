/**
 * The key schedule's two halves, and HPKE's setup, each as one call into the WebAssembly.
 *
 * @module
 */
import type {
  ApplicationSecrets,
  HandshakeSecrets,
  KeySchedule,
  Suite,
  TrafficKeys,
} from "./crypto.ts";
import { HkdfKeySchedule } from "./key-schedule.ts";
import type { Hash, Hmac, HpkeSecrets, HpkeSetup } from "./primitives.ts";
import type { WasmMemory } from "./wasm-memory.ts";
import type { WasmModule } from "./wasm-module.ts";
import { OK } from "./wasm-module.ts";

const IV_LENGTH = 12;

/** The rest of the schedule is one or two HMACs each: composed, as everywhere. */
export function wasmKeySchedule(
  { functions, memory }: WasmModule,
): (hmac: Hmac, digest: Hash["digest"]) => KeySchedule {
  class WasmKeySchedule extends HkdfKeySchedule {
    override handshake(
      suite: Suite,
      psk: Uint8Array | undefined,
      sharedSecret: Uint8Array,
      helloHash: Uint8Array,
    ): HandshakeSecrets {
      const { hashLength, keyLength } = suite;
      checkLengths(suite, helloHash, psk);
      const { start, bytes } = memory;
      const sharedAt = start + 2 * hashLength;
      const out = sharedAt + sharedSecret.length;
      bytes.set(helloHash, start);
      if (psk === undefined) bytes.fill(0, start + hashLength, sharedAt);
      else bytes.set(psk, start + hashLength);
      bytes.set(sharedSecret, sharedAt);
      functions.schedule_handshake(hashLength, keyLength, start, sharedSecret.length, out);
      const clientKeyAt = out + 5 * hashLength;
      const serverKeyAt = clientKeyAt + keyLength + IV_LENGTH;
      const secrets = {
        clientTraffic: memory.read(out, hashLength),
        serverTraffic: memory.read(out + hashLength, hashLength),
        clientKeys: readKeys(memory, clientKeyAt, keyLength),
        serverKeys: readKeys(memory, serverKeyAt, keyLength),
        clientFinishedKey: memory.read(out + 2 * hashLength, hashLength),
        serverFinishedKey: memory.read(out + 3 * hashLength, hashLength),
        main: memory.read(out + 4 * hashLength, hashLength),
      };
      memory.wipe(serverKeyAt + keyLength + IV_LENGTH);
      return secrets;
    }

    override application(
      suite: Suite,
      main: Uint8Array,
      finishedHash: Uint8Array,
    ): ApplicationSecrets {
      const { hashLength, keyLength } = suite;
      checkLengths(suite, finishedHash, main);
      const { start, bytes } = memory;
      const out = start + 2 * hashLength;
      bytes.set(main, start);
      bytes.set(finishedHash, start + hashLength);
      functions.schedule_application(hashLength, keyLength, start, out);
      const clientKeyAt = out + 3 * hashLength;
      const serverKeyAt = clientKeyAt + keyLength + IV_LENGTH;
      const secrets = {
        clientTraffic: memory.read(out, hashLength),
        serverTraffic: memory.read(out + hashLength, hashLength),
        clientKeys: readKeys(memory, clientKeyAt, keyLength),
        serverKeys: readKeys(memory, serverKeyAt, keyLength),
        exporter: memory.read(out + 2 * hashLength, hashLength),
      };
      memory.wipe(serverKeyAt + keyLength + IV_LENGTH);
      return secrets;
    }
  }
  return (hmac, digest) => new WasmKeySchedule(hmac, digest);
}

function readKeys(memory: WasmMemory, at: number, keyLength: number): TrafficKeys {
  return { key: memory.read(at, keyLength), iv: memory.read(at + keyLength, IV_LENGTH) };
}

/** @throws {RangeError} a context of another length; a secret of another length than every secret of the suite */
function checkLengths(
  { hash, hashLength }: Suite,
  transcriptHash: Uint8Array,
  secret: Uint8Array | undefined,
): void {
  if (transcriptHash.length !== hashLength) {
    throw new RangeError(
      `Cannot use a context of ${transcriptHash.length} bytes where ${hashLength} belong`,
    );
  }
  if (secret !== undefined && secret.length !== hashLength) {
    throw new RangeError(`Cannot use a secret of ${secret.length} bytes with ${hash}`);
  }
}

export function wasmHpkeSetup({ functions, memory }: WasmModule): HpkeSetup {
  const privateAt = memory.start;
  const publicAt = privateAt + 32;
  const encAt = publicAt + 32;
  const contextAt = encAt + 32;
  const out = contextAt + 65;

  return (privateKey, publicKey, enc, aead, keyLength, context) => {
    const { bytes } = memory;
    bytes.set(privateKey, privateAt);
    bytes.set(publicKey, publicAt);
    bytes.set(enc, encAt);
    bytes.set(context, contextAt);
    const code = functions.hpke_x25519_setup(
      privateAt,
      publicAt,
      encAt,
      aead,
      keyLength,
      contextAt,
      out,
    );
    const secrets: HpkeSecrets | undefined = code === OK
      ? {
        sharedSecret: memory.read(out, 32),
        key: memory.read(out + 32, keyLength),
        baseNonce: memory.read(out + 32 + keyLength, IV_LENGTH),
      }
      : undefined;
    memory.wipe(out + 32 + keyLength + IV_LENGTH);
    return secrets;
  };
}
