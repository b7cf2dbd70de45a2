import { describe, expect, it } from "vitest";
import { PlainHttp } from "../../src/edge/plain-http.ts";
import { decode, TestEdge, until } from "./edge-kit.ts";

describe("plain HTTP on the HTTPS port", () => {
  it("policy 3.9: gets one 400 with a word of explanation, and FIN", async () => {
    const edge = await TestEdge.start();
    const client = await edge.raw();
    client.socket.write("GET / HTTP/1.1\r\nHost: other.example\r\n\r\n");
    await until(() => client.ended);
    expect(client.text).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    expect(client.text).toMatch(/\r\nConnection: close\r\n[^]*This port speaks HTTPS/);
    client.socket.end();
    await until(() => edge.server.liveConnections === 0);
    expect(edge.server.counters).toMatchObject({ plainHttp: 1, pending: 0 });
  });

  it("policy 3.9: is sent to https where Host is ours, and FIN", async () => {
    const edge = await TestEdge.start();
    const client = await edge.raw();
    client.socket.write(`GET /a?b=c HTTP/1.1\r\nHost: a.example:${edge.port}\r\n`);
    await until(() => edge.server.counters.accepted === 1);
    client.socket.write("Accept: */*\r\n\r\n");
    await until(() => client.ended);
    expect(client.text).toBe(
      "HTTP/1.1 308 Permanent Redirect\r\n" +
        `Location: https://a.example:${edge.port}/a?b=c\r\n` +
        "Content-Length: 0\r\nConnection: close\r\n\r\n",
    );
    client.socket.end();
    await until(() => edge.server.liveConnections === 0);
    expect(edge.server.counters).toMatchObject({ plainHttp: 1, pending: 0 });
  });

  it("is cut at the deadline of a hello where its head never ends", async () => {
    const edge = await TestEdge.start();
    const client = await edge.raw();
    client.socket.write("GET / HTTP/1.1\r\nHost: a.exam");
    await until(() => edge.server.counters.accepted === 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    edge.clock.advance(edge.server.limits.helloTimeoutMs);
    await until(() => client.ended || client.closed);
    expect(client.text).toBe("");
    expect(edge.server.counters.limits).toEqual({ helloTimeout: 1 });
  });

  const answers: [what: string, text: string, start: RegExp | undefined][] = [
    ["a host of ours", get("a.example"), /^HTTP\/1\.1 308 [^]*Location: https:\/\/a\.example\/\r/],
    ["its port 443", get("A.Example:443"), /Location: https:\/\/a\.example\/\r/],
    ["another port", get("a.example:8443"), /Location: https:\/\/a\.example:8443\/\r/],
    ["a host of a wildcard", get("x.w.example"), /Location: https:\/\/x\.w\.example\/\r/],
    [
      "the absolute form",
      "GET http://a.example/p?q HTTP/1.1\r\nHost: a.example\r\n\r\n",
      /a\.example\/p\?q\r/,
    ],
    ["a host that is not ours", get("evil.example"), /^HTTP\/1\.1 400 /],
    ["the public name", get("public.example"), /^HTTP\/1\.1 400 /],
    ["a host that requires ECH", get("hidden.example"), /^HTTP\/1\.1 400 /],
    ["no Host", "GET / HTTP/1.0\r\n\r\n", /^HTTP\/1\.1 400 /],
    [
      "two Hosts",
      "GET / HTTP/1.1\r\nHost: a.example\r\nHost: a.example\r\n\r\n",
      /^HTTP\/1\.1 400 /,
    ],
    ["userinfo", get("a.example@evil.example"), /^HTTP\/1\.1 400 /],
    ["SSH, at its first line", "SSH-2.0-OpenSSH_9.2\r\n", /^HTTP\/1\.1 400 /],
    ["SMTP, at its first line", "EHLO me.example\r\n", /^HTTP\/1\.1 400 /],
    ["HTTP/2 without TLS", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", /^HTTP\/1\.1 400 /],
    ["noise behind a letter", "A\x00\x01\x02", /^HTTP\/1\.1 400 /],
    ["a head without end", `GET / HTTP/1.1\r\nX: ${"x".repeat(8192)}`, /^HTTP\/1\.1 400 /],
    ["a line without end", `GET /${"x".repeat(8192)}`, /^HTTP\/1\.1 400 /],
    ["half a method", "GE", undefined],
    ["half a line", "GET /path HTTP/1", undefined],
    ["a line without fields", "GET /path HTTP/1.1\r\n", undefined],
    ["half a field", "GET /path HTTP/1.1\r\nHost: a.ex", undefined],
  ];
  it.each(answers)("has its answer: %s", async (_what, text, start) => {
    const { snapshot } = await TestEdge.start({
      sites: [
        { names: ["a.example"] },
        { names: ["*.w.example"] },
        { names: ["public.example"], publicNameOnly: true },
        { names: ["hidden.example"], requireEch: true },
      ],
    });
    const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
    const whole = new PlainHttp(snapshot).receive(bytes);
    if (start === undefined) expect(whole).toBeUndefined();
    else expect(decode(whole!)).toMatch(start);
    const bytewise = new PlainHttp(snapshot);
    let answer: Uint8Array | undefined;
    for (let i = 0; i < bytes.length && answer === undefined; i++) {
      answer = bytewise.receive(bytes.subarray(i, i + 1));
    }
    expect(answer).toEqual(whole);
  });
});

it("looks at a head a few times at most, however small the pieces it comes in", async () => {
  const { snapshot } = await TestEdge.start();
  const heads = [
    `GET /${"x".repeat(8150)} HTTP/1.1\r\n`,
    `GET / HTTP/1.1\r\nHost: a.example\r\nX: ${"x".repeat(8100)}`,
    `GET / HTTP/1.1\r\n${"A: b\r\n".repeat(1300)}`,
  ];
  for (const head of heads) {
    const bytes = Uint8Array.from(head, (character) => character.charCodeAt(0));
    const http = new PlainHttp(snapshot);
    for (let i = 0; i < bytes.length; i++) {
      expect(http.receive(bytes.subarray(i, i + 1))).toBeUndefined();
    }
    expect(http.looked).toBeLessThan(4 * bytes.length);
  }
});

function get(host: string): string {
  return `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
}
