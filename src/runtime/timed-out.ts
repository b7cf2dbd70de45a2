/** What `Runtime.connect` rejects with at its deadline. */
export function timedOut(): Error {
  return Object.assign(new Error("connecting took too long"), { code: "ETIMEDOUT" });
}
