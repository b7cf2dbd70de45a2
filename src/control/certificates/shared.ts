/** @module */
import { sameBytes } from "../../x509/certificate.ts";

/** One copy of each intermediate, however many chains it is in. */
export class SharedCertificates {
  readonly #byEnd = new Map<string, Uint8Array>();

  readonly share = (der: Uint8Array): Uint8Array => {
    // The end of a certificate is its signature.
    const key = String.fromCharCode(...der.subarray(-32));
    const known = this.#byEnd.get(key);
    if (known !== undefined && sameBytes(known, der)) return known;
    if (this.#byEnd.size >= MAX_SHARED) this.#byEnd.clear();
    this.#byEnd.set(key, der);
    return der;
  };
}

const MAX_SHARED = 1024;
