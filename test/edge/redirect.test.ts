import { expect, test, vi } from "vitest";

import { RedirectServer } from "../../src/edge/redirect.ts";
import type { Socket } from "../../src/runtime/runtime.ts";
import { Snapshot } from "../../src/snapshot/snapshot.ts";

// Of a site only its names matter here.
const site = (name: string, publicNameOnly = false) =>
  ({ names: [name], publicNameOnly }) as unknown as Snapshot["sites"][number];
const snapshot = new Snapshot({
  server: {} as Snapshot["server"],
  sites: [
    { ...site("plain.example"), hosts: { noRedirects: true } },
    {
      ...site("*.mixed.example"),
      names: ["*.mixed.example", "yes.mixed.example"],
      hosts: { noRedirects: ["*.mixed.example"] },
    },
    site("a.example"),
    site("*.b.example"),
    site("::1"),
    site("cover.example", true),
    { ...site("hidden.example"), requireEch: true },
    { ...site("*.hidden.example"), requireEch: true },
  ],
});

/** @param room how many bytes the socket takes before each drain */
function open(httpsPort: number, localPort: number, room = Infinity) {
  const server = new RedirectServer({ snapshot: () => snapshot, httpsPort: () => httpsPort });
  const seen = { text: "", ended: false, terminated: false };
  const socket = {
    localPort,
    write(bytes: Uint8Array, start: number, end: number) {
      const taken = Math.min(end - start, room);
      seen.text += new TextDecoder().decode(bytes.subarray(start, start + taken));
      return taken;
    },
    shutdown: () => void (seen.ended = true),
    terminate: () => void (seen.terminated = true),
  } as Partial<Socket> as Socket;
  const events = server.accept(socket);
  return { server, events, seen };
}

function ask(request: string, httpsPort = 443, localPort = 80) {
  const { events, seen } = open(httpsPort, localPort);
  events.data(new TextEncoder().encode(request));
  events.close(undefined);
  const status = Number(/^HTTP\/1\.1 (\d+)/.exec(seen.text)?.[1]);
  const location = /\r\nLocation: (.*)\r\n/.exec(seen.text)?.[1];
  return { status, location, ...seen };
}

test("policy 9 row 22, 3.2: a host of ours is sent to HTTPS with method, path and query kept", () => {
  const answer = ask("POST /a/b?c=d&e HTTP/1.1\r\nHost: A.example\r\nX: y\r\n\r\nbody");
  expect(answer.text).toBe(
    "HTTP/1.1 308 Permanent Redirect\r\nLocation: https://a.example/a/b?c=d&e\r\n" +
      "Content-Length: 0\r\nConnection: close\r\n\r\n",
  );
  expect(answer.ended).toBe(true);
});

test.each([
  ["a.example", 443, 80, "https://a.example/"],
  ["a.example.", 443, 80, "https://a.example/"],
  ["x.b.example", 443, 80, "https://x.b.example/"],
  ["[::1]", 443, 80, "https://[::1]/"],
  ["a.example:80", 443, 80, "https://a.example/"],
  ["a.example", 8443, 80, "https://a.example:8443/"],
  ["a.example:8080", 8443, 8080, "https://a.example:8443/"],
  ["a.example:8080", 443, 8080, "https://a.example/"],
  ["a.example", 8443, 8080, "https://a.example/"],
])("policy 3.2: Host %s, HTTPS on %i, HTTP on %i: %s", (host, https, http, location) => {
  expect(ask(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`, https, http)).toMatchObject({
    status: 308,
    location,
  });
});

test("Bytes beyond ASCII come back percent-encoded", () => {
  expect(ask("GET /é HTTP/1.1\r\nHost: a.example\r\n\r\n").location).toBe(
    "https://a.example/%C3%A9",
  );
});

test("The absolute form's authority replaces Host", () => {
  const head = "\r\nHost: other.example\r\n\r\n";
  expect(ask(`GET http://a.example?q HTTP/1.1${head}`).location).toBe("https://a.example/?q");
  expect(ask(`GET http://evil.example/ HTTP/1.1${head}`).status).toBe(404);
});

test.each([
  ["//evil.example/x", "https://a.example//evil.example/x"],
  ["/\\evil.example", "https://a.example/\\evil.example"],
  ["/%0d%0aX:%20y", "https://a.example/%0d%0aX:%20y"],
  ["http://A.example.:80//evil.example", "https://a.example//evil.example"],
  ["http://a.example", "https://a.example/"],
])("policy 3.5, 3.6: the target %s leads nowhere but to its own host", (target, location) => {
  const answer = ask(`GET ${target} HTTP/1.1\r\nHost: a.example\r\n\r\n`);
  expect(answer).toMatchObject({ status: 308, location });
  expect(new URL(location).host).toBe("a.example");
});

test("policy 3.4: names that are to have no redirect get 404, others of their site theirs", () => {
  const status = (host: string) => ask(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`).status;
  expect(status("plain.example")).toBe(404);
  expect(status("no.mixed.example")).toBe(404);
  expect(status("Yes.Mixed.example.")).toBe(308);
});

test.each(["evil.example", "example", "b.example", "y.x.b.example", "cover.example", "127.0.0.1"])(
  "policy 9 row 23, 3.5: Host %s is not ours: 404",
  (host) => {
    const answer = ask(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    expect(answer).toMatchObject({ status: 404, location: undefined });
  },
);

test.each(["hidden.example", "Hidden.Example.", "x.hidden.example"])(
  "policy 8.7: Host %s requires ECH, so in plain HTTP it is as if unknown",
  (host) => {
    const text = (host: string) => ask(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`).text;
    expect(text(host)).toBe(text("unknown.example"));
  },
);

test.each([
  ["no Host", "GET / HTTP/1.1\r\n\r\n"],
  ["two Hosts", "GET / HTTP/1.1\r\nHost: a.example\r\nHost: a.example\r\n\r\n"],
  ["userinfo", "GET / HTTP/1.1\r\nHost: me@a.example\r\n\r\n"],
  ["a percent sign", "GET / HTTP/1.1\r\nHost: a%2eexample\r\n\r\n"],
  ["an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n"],
  ["a port that is none", "GET / HTTP/1.1\r\nHost: a.example:8o\r\n\r\n"],
  ["a bare CR in the target", "GET /\rx HTTP/1.1\r\nHost: a.example\r\n\r\n"],
  ["a line feed in the target", "GET /\nX:y HTTP/1.1\r\nHost: a.example\r\n\r\n"],
  ["a line feed in Host", "GET / HTTP/1.1\r\nHost: a.example\nX: y\r\n\r\n"],
  ["a folded Host", "GET / HTTP/1.1\r\nHost: a.example\r\n evil.example\r\n\r\n"],
  ["a space before the colon", "GET / HTTP/1.1\r\nHost : a.example\r\n\r\n"],
  ["two Hosts in one", "GET / HTTP/1.1\r\nHost: a.example, a.example\r\n\r\n"],
  [
    "userinfo in the target",
    "GET http://a.example@evil.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
  ],
  [
    "a backslash for a slash",
    "GET http://a.example\\@evil.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
  ],
  ["another scheme", "GET ftp://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n"],
  ["an empty authority", "GET http:///evil.example HTTP/1.1\r\nHost: a.example\r\n\r\n"],
  ["brackets around a name", "GET / HTTP/1.1\r\nHost: [a.example]\r\n\r\n"],
  ["IPv6 with a zone", "GET / HTTP/1.1\r\nHost: [::1%251]\r\n\r\n"],
  ["IPv6 without brackets", "GET / HTTP/1.1\r\nHost: ::1\r\n\r\n"],
  ["a target without slash", "GET x HTTP/1.1\r\nHost: a.example\r\n\r\n"],
  ["a fragment", "GET /#x HTTP/1.1\r\nHost: a.example\r\n\r\n"],
  ["HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
  ["noise", "\x16\x03\x01\r\n\r\n"],
])("policy 9 row 23, 3.6: %s: 400", (_, request) => {
  expect(ask(request)).toMatchObject({ status: 400, location: undefined, ended: true });
});

test("policy 3.10: a head over 8 KiB is refused, and what follows an answer is dropped", () => {
  const { events, seen } = open(443, 80);
  for (let i = 0; i < 9; i++) events.data(new Uint8Array(1024).fill(0x61));
  events.data(new TextEncoder().encode("\r\n\r\n"));
  events.close(undefined);
  expect(seen.text.match(/HTTP\/1\.1/g)).toHaveLength(1);
  expect(seen.text).toMatch(/^HTTP\/1\.1 431 /);
});

test("A request in single bytes is answered once, a byte at a time where the socket is full", () => {
  const { events, seen } = open(443, 80, 1);
  for (const byte of new TextEncoder().encode("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")) {
    events.data(Uint8Array.of(byte));
  }
  for (let i = 0; i < 300 && !seen.ended; i++) events.drain();
  events.close(undefined);
  expect(seen.text).toMatch(/^HTTP\/1\.1 308 [^]*\r\n\r\n$/);
  expect(seen.ended).toBe(true);
});

test("policy 3.10: of more than 1000 connections the oldest goes, so that holding them shuts nobody out", () => {
  const server = new RedirectServer({ snapshot: () => snapshot, httpsPort: () => 443 });
  const ended: number[] = [];
  const accept = (i: number) => {
    let text = "";
    const socket = {
      localPort: 80,
      write: (bytes: Uint8Array) => (text += new TextDecoder().decode(bytes), bytes.length),
      shutdown() {},
      terminate: () => void ended.push(i),
    } as Partial<Socket> as Socket;
    const events = server.accept(socket);
    return { events, text: () => text };
  };
  const all = Array.from({ length: 1002 }, (_, i) => accept(i));
  expect(ended).toEqual([0, 1]);
  expect(server.liveConnections).toBe(1000);
  all[1001]!.events.data(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"));
  expect(all[1001]!.text()).toMatch(/^HTTP\/1\.1 308 /);
  for (const { events } of all) events.close(undefined);
  expect(server.liveConnections).toBe(0);
});

test("A client that ends without a request is let go, and closed ones are not counted", () => {
  const { server, events, seen } = open(443, 80);
  expect(server.liveConnections).toBe(1);
  events.end();
  expect(seen.terminated).toBe(true);
  events.close(undefined);
  expect(server.liveConnections).toBe(0);
});

test("design 12: at the stop who is open still gets an answer, and who says nothing is ended", async () => {
  const { server, events, seen } = open(443, 80);
  const stopped = server.stop();
  events.data(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"));
  events.close(undefined);
  await stopped;
  expect(seen).toMatchObject({
    text: expect.stringMatching(/^HTTP\/1\.1 308 /),
    terminated: false,
  });

  vi.useFakeTimers();
  try {
    const silent = open(443, 80);
    const ended = silent.server.stop();
    await vi.advanceTimersByTimeAsync(900);
    expect(silent.seen.terminated).toBe(false);
    await vi.advanceTimersByTimeAsync(200);
    await ended;
    expect(silent.seen.terminated).toBe(true);
    silent.events.close(undefined);
  } finally {
    vi.useRealTimers();
  }
});
