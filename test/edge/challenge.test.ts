import { expect, test } from "vitest";

import { RedirectServer } from "../../src/edge/redirect.ts";
import type { Socket } from "../../src/runtime/runtime.ts";
import { Snapshot } from "../../src/snapshot/snapshot.ts";

const site = { names: ["a.example"], publicNameOnly: false };
const snapshot = new Snapshot({
  server: {} as Snapshot["server"],
  sites: [site as unknown as Snapshot["sites"][number]],
});
const ANSWER = "evaGxfADs6pSRb2LAv9IZ.nP1qzpXGymHBrUEepNY9HCsQk7K8KhOypzEt62jcerQ";

/** What is answered, and which tokens were asked about, and for which hosts. */
async function ask(line: string, host = "a.example") {
  const asked: string[] = [];
  const hosts: string[] = [];
  const server = new RedirectServer({
    snapshot: () => snapshot,
    httpsPort: () => 443,
    challenge(token, host) {
      asked.push(token);
      hosts.push(host);
      return Promise.resolve(token === "known" ? ANSWER : undefined);
    },
  });
  const answered = Promise.withResolvers<void>();
  let text = "";
  const events = server.accept({
    localPort: 80,
    write(bytes: Uint8Array, start: number, end: number) {
      text += new TextDecoder().decode(bytes.subarray(start, end));
      return end - start;
    },
    shutdown: answered.resolve,
    terminate: answered.resolve,
  } as Partial<Socket> as Socket);
  events.data(new TextEncoder().encode(`${line} HTTP/1.1\r\nHost: ${host}\r\n\r\n`));
  await answered.promise;
  events.close(undefined);
  return { text, asked, hosts };
}

test("acme 7a: the key authorization and nothing else, for any Host, before any redirect", async () => {
  for (const host of ["a.example", "elsewhere.example", "192.0.2.1"]) {
    const { text } = await ask("GET /.well-known/acme-challenge/known", host);
    expect(text).toBe(
      "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n" +
        `Content-Length: ${ANSWER.length}\r\nConnection: close\r\n\r\n${ANSWER}`,
    );
  }
});

test.for(
  [
    ["a.example", "a.example"],
    ["A.Example.:80", "a.example"],
    ["192.0.2.1", "192.0.2.1"],
    ["[2001:DB8::1]:80", "2001:db8::1"],
  ] as const,
)("acme 7a: what is asked about %s says that it is for %s", async ([host, meant]) => {
  const { hosts } = await ask("GET /.well-known/acme-challenge/known", host);
  expect(hosts).toEqual([meant]);
});

test("acme 7a: HEAD gets the same without it", async () => {
  const { text } = await ask("HEAD /.well-known/acme-challenge/known");
  expect(text).toMatch(new RegExp(`^HTTP/1.1 200 .*\r\nContent-Length: ${ANSWER.length}\r\n`, "s"));
  expect(text.endsWith("\r\n\r\n")).toBe(true);
});

test("acme 7a: an unknown token is a path as any other, and never 200", async () => {
  const path = "/.well-known/acme-challenge/unknown";
  expect((await ask(`GET ${path}`)).text).toContain(`Location: https://a.example${path}\r\n`);
  expect((await ask(`GET ${path}`, "elsewhere.example")).text).toMatch(/^HTTP\/1\.1 404 /);
});

test.for([
  "POST /.well-known/acme-challenge/known",
  "GET /.well-known/acme-challenge/",
  "GET /.well-known/acme-challenge/a/b",
  "GET /.well-known/acme-challenge/..",
  "GET /.well-known/acme-challenge/known?x",
  "GET /.well-known/acme-challenge/%6bnown",
  `GET /.well-known/acme-challenge/${"x".repeat(129)}`,
  "GET /x/.well-known/acme-challenge/known",
])("What can be no token is nobody's question: %s", async (line) => {
  expect((await ask(line)).asked).toEqual([]);
});
