import { expect, test } from "vitest";

import { HttpError, parseRequestHead } from "../../src/http/request-head.ts";

/** RFC 9110 §5.6.2 and §5.5 by regular expressions, as an oracle. */
const TOKEN = /[!#$%&'*+\-.^_`|~0-9A-Za-z]/;
const VALUE = /[\t\x20-\x7e\x80-\xff]/;

function isTaken(line: string): boolean {
  try {
    parseRequestHead(`GET / HTTP/1.1\r\nHost: a.example\r\n${line}`, 10);
    return true;
  } catch (error) {
    expect(error).toBeInstanceOf(HttpError);
    expect([(error as HttpError).status, (error as HttpError).message]).toEqual([
      400,
      "bad header field",
    ]);
    return false;
  }
}

test.each(["first", "in the middle", "last"])("each character of a field's name, %s", (where) => {
  for (let code = 0; code < 256; code++) {
    const character = String.fromCharCode(code);
    if (character === ":") continue;
    const name = { "first": `${character}ab`, "in the middle": `a${character}b` }[where] ??
      `ab${character}`;
    expect([code, isTaken(`${name}: c`)]).toEqual([code, TOKEN.test(character)]);
  }
});

test.each(["first", "in the middle", "last"])("each character of a field's value, %s", (where) => {
  for (let code = 0; code < 256; code++) {
    const character = String.fromCharCode(code);
    const value = { "first": `${character}ab`, "in the middle": `a${character}b` }[where] ??
      `ab${character}`;
    expect([code, isTaken(`A:${value}`)]).toEqual([code, VALUE.test(character)]);
  }
});

test.each(["", ":", ": a", "a", "a :b", " a: b", "\ta: b", "a\u0000: b"])(
  "%j is no field",
  (line) => expect(isTaken(line)).toBe(false),
);

test.each(["a:", "a::", "a: :b", "CONNECTIOM: x", "hosu: a", "exPECTA: 100"])(
  "%j is a field that decides nothing",
  (line) => {
    const text = "GET / HTTP/1.1\r\nHost: a.example";
    expect(parseRequestHead(`${text}\r\n${line}`, 10)).toEqual(parseRequestHead(text, 10));
  },
);

test("fields that decide are known in any case", () => {
  const head = parseRequestHead(
    "POST / HTTP/1.1\r\nhOsT: a.example\r\nCONNECTION: Close\r\nexpect: 100-Continue\r\n" +
      "Content-LENGTH:\t7 ",
    10,
  );
  expect(head).toMatchObject({ keepAlive: false, expectsContinue: true, body: 7 });
  const chunked = "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: Chunked";
  expect(parseRequestHead(chunked, 10).body).toBe("chunked");
});
