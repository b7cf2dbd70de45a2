import { describe, expect, it } from "vitest";

import { RedirectHandler } from "../../src/edge/handlers/redirect.ts";
import { RespondHandler } from "../../src/edge/handlers/respond.ts";
import { get, readText, TestEdge } from "./edge-kit.ts";

describe("redirect", () => {
  it.each([
    ["https://b.example", "/", "https://b.example/"],
    ["https://b.example", "/x/y?q=1&r", "https://b.example/x/y?q=1&r"],
    ["https://b.example", "http://a.example/x", "https://b.example/x"],
    ["https://b.example:8443", "/x", "https://b.example:8443/x"],
    ["https://b.example/", "/x/y?q=1", "https://b.example/"],
    ["https://b.example/new?from=a", "/x", "https://b.example/new?from=a"],
    ["https://b.example", "/#x", "https://b.example/"],
  ])("to %s, asked for %s: %s", async (to, target, location) => {
    const answer = await ask(
      to,
      `GET ${target} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 307 Temporary Redirect\r\n/);
    expect(/\r\nLocation: (.*)\r\n/.exec(answer)![1]).toBe(location);
    expect(answer).toMatch(/\r\nContent-Length: 0\r\n[^]*\r\nConnection: close\r\n\r\n$/);
  });

  it("keeps the connection, answers HEAD and OPTIONS alike, and no Host but its own", async () => {
    const head = "\r\nHost: a.example\r\n\r\n";
    const answer = await ask(
      "https://b.example",
      `HEAD /1 HTTP/1.1${head}OPTIONS * HTTP/1.1${head}` +
        "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    );
    expect(answer.match(/^(?:HTTP\/1\.1 .*|Location: .*)$/gm)!.map((line) => line.trim())).toEqual([
      "HTTP/1.1 307 Temporary Redirect",
      "Location: https://b.example/1",
      "HTTP/1.1 307 Temporary Redirect",
      "Location: https://b.example/",
      "HTTP/1.1 421 Misdirected Request",
    ]);
  });

  it("policy 8.5: Host of another site is answered by that site, over one connection", async () => {
    const edge = await TestEdge.start({
      sites: [{ names: ["a.example"], covers: ["a.example", "b.example"] }, {
        names: ["b.example"],
      }],
      handlers: (site) =>
        site.names[0] === "a.example"
          ? new RedirectHandler({ kind: "redirect", to: "https://c.example" })
          : new RespondHandler("this is b"),
    });
    const client = await edge.connect();
    await client.write(get("b.example"));
    await client.write(get("a.example", "/", "Connection: close"));
    expect(await readText(client)).toMatch(
      /^HTTP\/1\.1 200 OK[^]*this is bHTTP\/1\.1 307 [^]*c\.example/,
    );
    await client.close();
  });
});

async function ask(to: string, request: string): Promise<string> {
  const edge = await TestEdge.start({
    handlers: () => new RedirectHandler({ kind: "redirect", to }),
  });
  const client = await edge.connect();
  await client.write(new TextEncoder().encode(request));
  const text = await readText(client);
  await client.close();
  return text;
}
