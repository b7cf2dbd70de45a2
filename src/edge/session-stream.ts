import type { Stream } from "./handlers/handler.ts";
import type { Session } from "./session.ts";

/** The handler's view of its session. */
export class SessionStream implements Stream {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  write(bytes: Uint8Array, start: number, end: number): boolean {
    return this.#session.write(bytes, start, end);
  }
  end(): void {
    this.#session.finish();
  }
  endWrite(): void {
    this.#session.endWrite();
  }
  abort(): void {
    this.#session.abort();
  }
  pause(): void {
    this.#session.setPaused(true);
  }
  resume(): void {
    this.#session.setPaused(false);
  }
}
