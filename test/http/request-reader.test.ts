import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseHost } from "../../src/http/host.ts";
import { HttpError, type RequestHead } from "../../src/http/request-head.ts";
import { DEFAULT_HTTP_LIMITS, RequestReader } from "../../src/http/request-reader.ts";

describe("RequestReader", () => {
  it("reads a request whole, and in pieces of every size", () => {
    const text = "GET /a?b HTTP/1.1\r\nHost: Example.com:8443\r\nAccept: */*\r\n\r\n";
    for (let size = 1; size <= text.length; size++) {
      const { heads, status } = read(text, size);
      expect(status).toBeUndefined();
      expect(heads).toEqual([{
        method: "GET",
        target: "/a?b",
        minorVersion: 1,
        host: { host: "example.com", port: 8443 },
        keepAlive: true,
        expectsContinue: false,
        body: 0,
      }]);
    }
  });

  it("reads nothing from a prefix of a request", () => {
    const text = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    for (let length = 0; length < text.length; length++) {
      expect(read(text.slice(0, length), 1)).toEqual({ heads: [], status: undefined });
    }
    expect(read(text, 1).heads).toHaveLength(1);
  });

  it("passes over bodies by Content-Length and chunks, and finds the next request behind them", () => {
    const text = "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /" +
      "POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" +
      "5;x=y\r\nGET /\r\nA\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n" +
      "HEAD /3 HTTP/1.1\r\nHost: a\r\n\r\n" +
      "\r\nGET /4 HTTP/1.0\r\n\r\n";
    for (const size of [1, 2, 3, 7, 64, 1000]) {
      const { heads, status } = read(text, size);
      expect(status).toBeUndefined();
      expect(heads.map((head) => `${head.method} ${head.target}`))
        .toEqual(["POST /1", "POST /2", "HEAD /3", "GET /4"]);
    }
  });

  it("stops where the sink stops it, and goes on from there", () => {
    const bytes = encode("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    const reader = new RequestReader(DEFAULT_HTTP_LIMITS);
    const heads: string[] = [];
    const sink = {
      expected() {},
      request: (head: RequestHead) => (heads.push(head.target), false),
    };
    const at = reader.receive(bytes, 0, bytes.length, sink);
    expect(heads).toEqual(["/1"]);
    expect(at).toBe(bytes.length / 2);
    expect(reader.receive(bytes, at, bytes.length, sink)).toBe(bytes.length);
    expect(heads).toEqual(["/1", "/2"]);
  });

  it("asks for 100 (Continue) once, and only where a body is to come", () => {
    expect(read(post("Expect: 100-continue", "Content-Length: 2") + "ab", 1).expected).toBe(1);
    expect(read(post("Expect: 100-continue"), 1).expected).toBeUndefined();
  });

  it.each([
    ["keeps HTTP/1.1 open", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", true],
    [
      "closes on Connection: close",
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n",
      false,
    ],
    ["closes HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", false],
    ["keeps HTTP/1.0 that asks for it", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true],
  ])("%s", (_name, text, keepAlive) => {
    expect(read(text, 9).heads[0]?.keepAlive).toBe(keepAlive);
  });

  it("takes the host of an absolute target before that of the field", () => {
    const text = "GET https://B.example./x HTTP/1.1\r\nHost: a\r\n\r\n";
    expect(read(text, 100).heads[0]?.host).toEqual({ host: "b.example", port: undefined });
  });

  it.each<[string, string, number]>([
    ["no version", "GET /\r\n\r\n", 400],
    ["two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400],
    ["HTTP/2 in words", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505],
    ["the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505],
    ["bare LF", "GET / HTTP/1.1\nHost: a\n\n", 400],
    ["a folded field", "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n", 400],
    ["a space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400],
    ["NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400],
    ["bare CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: \r1\r\n\r\n", 400],
    ["no Host", "GET / HTTP/1.1\r\n\r\n", 400],
    ["two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400],
    ["an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400],
    ["a Host with userinfo", "GET / HTTP/1.1\r\nHost: x@a\r\n\r\n", 400],
    ["an absolute target with userinfo", "GET http://x@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400],
    ["CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 400],
    ["a target that is none", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400],
    ["Content-Length of words", post("Content-Length: x"), 400],
    ["Content-Length with a sign", post("Content-Length: +1"), 400],
    ["a list in Content-Length", post("Content-Length: 1, 1"), 400],
    ["two Content-Lengths", post("Content-Length: 1", "Content-Length: 1"), 400],
    ["both lengths", post("Content-Length: 1", "Transfer-Encoding: chunked"), 400],
    ["chunks in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400],
    ["an unknown coding", post("Transfer-Encoding: gzip, chunked"), 501],
    ["another expectation", post("Expect: tea"), 417],
    ["a body too large", post("Content-Length: 1048577"), 413],
    ["a chunk too large", post("Transfer-Encoding: chunked") + "100001\r\n", 413],
    [
      "chunks that are too many",
      post("Transfer-Encoding: chunked") + "80000\r\n" +
      "a".repeat(0x80000) + "\r\n80000\r\n" + "a".repeat(0x80000) + "\r\n",
      413,
    ],
    ["a chunk size that is none", post("Transfer-Encoding: chunked") + "x\r\n", 400],
    ["a chunk without a size", post("Transfer-Encoding: chunked") + "\r\n", 400],
    ["a chunk longer than it said", post("Transfer-Encoding: chunked") + "1\r\nab\r\n", 400],
    ["a chunk line that ends with LF", post("Transfer-Encoding: chunked") + "1\nab\r\n", 400],
    ["a chunk line without end", post("Transfer-Encoding: chunked") + "1;" + "x".repeat(2000), 400],
    ["a head too large", `GET /${"a".repeat(17_000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 431],
    ["a head without end", `GET /${"a".repeat(17_000)}`, 431],
    ["too many fields", `GET / HTTP/1.1\r\nHost: a\r\n${"X: 1\r\n".repeat(100)}\r\n`, 431],
  ])("refuses %s", (_name, text, status) => {
    expect(read(text, 1000).status).toBe(status);
    expect(read(text, 61).status).toBe(status);
  });

  it("throws nothing but HttpError, whatever comes", () => {
    const piece = fc.constantFrom(
      "GET ",
      "/",
      " HTTP/1.1",
      "\r\n",
      "\n",
      "\r",
      "Host: a",
      ":",
      "0",
      "5",
      "Content-Length: ",
      "Transfer-Encoding: chunked",
      "\0",
      "é",
      " ",
      ";",
    );
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 40 }),
        fc.integer({ min: 1, max: 20 }),
        (pieces, size) => {
          read(pieces.join(""), size); // throws anything else
        },
      ),
      { numRuns: 500 },
    );
  });

  it("reads as one piece what it reads in many", () => {
    const piece = fc.constantFrom(
      "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
      post("Content-Length: 3"),
      "abc",
      post("Transfer-Encoding: chunked"),
      "3\r\nabc\r\n",
      "0\r\n\r\n",
      "\r\n",
      "x",
    );
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 8 }),
        fc.integer({ min: 1, max: 30 }),
        (pieces, size) => {
          const text = pieces.join("");
          const whole = read(text, text.length || 1);
          const split = read(text, size);
          expect(split.heads).toEqual(whole.heads);
          expect(split.status).toBe(whole.status);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("parseHost", () => {
  it.each<[string, string | undefined, number | undefined]>([
    ["Example.COM", "example.com", undefined],
    ["example.com.", "example.com", undefined],
    ["example.com:443", "example.com", 443],
    ["example.com:", "example.com", undefined],
    ["under_score.example", "under_score.example", undefined],
    ["127.0.0.1:1", "127.0.0.1", 1],
    ["[::1]:8443", "::1", 8443],
    ["[::FFFF:1.2.3.4]", "::ffff:1.2.3.4", undefined],
    ["", undefined, undefined],
    [".", undefined, undefined],
    ["a..b", undefined, undefined],
    ["::1", undefined, undefined],
    ["a:b", undefined, undefined],
    ["a:65536", undefined, undefined],
    ["a:123456", undefined, undefined],
    ["u@a", undefined, undefined],
    ["a%2e", undefined, undefined],
    ["a b", undefined, undefined],
    ["a/b", undefined, undefined],
    ["é.example", undefined, undefined],
    ["a".repeat(64), undefined, undefined],
    [`${"a".repeat(63)}.`.repeat(4) + "b", undefined, undefined],
  ])("reads %j", (value, host, port) => {
    expect(parseHost(value)).toEqual(host === undefined ? undefined : { host, port });
  });
});

function post(...fields: string[]): string {
  return `POST / HTTP/1.1\r\nHost: a\r\n${fields.map((field) => field + "\r\n").join("")}\r\n`;
}

interface Read {
  heads: RequestHead[];
  status: number | undefined;
  expected?: number;
}

function read(text: string, size: number): Read {
  const bytes = encode(text);
  const reader = new RequestReader(DEFAULT_HTTP_LIMITS);
  const result: Read = { heads: [], status: undefined };
  const sink = {
    expected: () => void (result.expected = (result.expected ?? 0) + 1),
    request: (head: RequestHead) => (result.heads.push(head), true),
  };
  try {
    for (let at = 0; at < bytes.length; at += size) {
      const end = Math.min(at + size, bytes.length);
      const piece = bytes.slice(at, end);
      expect(reader.receive(piece, 0, piece.length, sink)).toBe(piece.length);
    }
  } catch (error) {
    if (!(error instanceof HttpError)) throw error;
    result.status = error.status;
  }
  return result;
}

/** Characters are bytes. */
function encode(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
