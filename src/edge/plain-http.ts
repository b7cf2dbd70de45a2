/** What somebody hears who speaks plain HTTP to the HTTPS port (policy §3.9). */
const TEXT = "This port speaks HTTPS: use https:// in place of http://\n";

export const PLAIN_HTTP_ANSWER: Uint8Array = new TextEncoder().encode(
  "HTTP/1.1 400 Bad Request\r\n" +
    "Content-Type: text/plain; charset=utf-8\r\n" +
    `Content-Length: ${TEXT.length}\r\n` +
    "Connection: close\r\n\r\n" +
    TEXT,
);

/** No TLS record begins with a letter; every request of HTTP does. */
export function mayBeginPlainHttp(byte: number): boolean {
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x7a;
}
