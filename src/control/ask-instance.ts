/**
 * Asks the sotto that serves, by its socket in the data folder.
 * @module
 */
import { Buffer } from "node:buffer";
import { request } from "node:http";

export interface SocketAnswer {
  readonly status: number;
  readonly text: string;
}

/**
 * @param socketPath as `instanceSocket` has it
 * @throws {Error} of the system: nobody listens there, or whoever did went away; `code` ETIMEDOUT where there is no
 *   whole answer in `timeoutMs`
 */
export function postToInstance(
  socketPath: string,
  path: string,
  timeoutMs: number,
): Promise<SocketAnswer> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path, method: "POST", agent: false }, (answer) => {
      const parts: Buffer[] = [];
      let length = 0;
      answer.on("data", (part: Buffer) => {
        length += part.length;
        if (length > MAX_ANSWER_BYTES) end(new Error("its answer is too long"));
        else parts.push(part);
      });
      answer.on("error", end);
      answer.on("end", () => {
        clearTimeout(timer);
        if (!answer.complete) return end(new Error("its answer ended early"));
        resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(parts).toString("utf8") });
      });
    });
    const timer = setTimeout(() => {
      end(Object.assign(new Error("it does not answer"), { code: "ETIMEDOUT" }));
    }, timeoutMs);
    asked.on("error", end);
    asked.end();

    function end(error: Error): void {
      clearTimeout(timer);
      reject(error); // before what follows has an error of its own
      asked.destroy();
    }
  });
}

/** A hundred mistakes in a configuration take a tenth of it. */
const MAX_ANSWER_BYTES = 1 << 20;
