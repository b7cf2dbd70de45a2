/**
 * `redirect = "https://elsewhere"`: every request is sent there. The method stays, and nobody keeps the answer for good.
 * @module
 */
import type { RequestHead } from "../../http/request-head.ts";
import { pathOfTarget } from "../../http/request-target.ts";
import type { RedirectSpec } from "../../snapshot/snapshot.ts";
import { type Connection, RespondHandler } from "./respond.ts";

export class RedirectHandler extends RespondHandler {
  override readonly kind = "redirect";
  readonly #to: string;
  readonly #keepsPath: boolean;

  constructor({ to }: RedirectSpec) {
    super("");
    this.#to = to;
    this.#keepsPath = /^https?:\/\/[^/]*$/.test(to);
  }

  override answer(connection: Connection, { target }: RequestHead): Uint8Array {
    const path = this.#keepsPath ? pathOfTarget(target === "*" ? "/" : target) ?? "/" : "";
    const field = connection === "" ? "" : `Connection: ${connection}\r\n`;
    return new TextEncoder().encode(
      "HTTP/1.1 307 Temporary Redirect\r\n" +
        `Location: ${this.#to}${path}\r\n` +
        "Content-Length: 0\r\n" +
        `Date: ${new Date().toUTCString()}\r\n${field}\r\n`,
    );
  }
}
