import { describe, expect, it } from "vitest";
import type { ConnectionFacts, Stream } from "../../src/edge/handlers/handler.ts";
import { SEGMENT_BYTES } from "../../src/edge/handlers/piece.ts";
import { RespondHandler } from "../../src/edge/handlers/respond.ts";
import { DEFAULT_HTTP_LIMITS } from "../../src/http/request-reader.ts";
import { MAX_PLAINTEXT } from "../../src/tls/record.ts";
import { decode, get, readText, readUntil, TestEdge } from "./edge-kit.ts";

describe("respond", () => {
  it("answers with its text, and keeps the connection", () => {
    const { connection, stream } = open("hello");
    send(connection, get("a.example"));
    send(connection, get("a.example"));
    expect(stream.text).toMatch(
      /^(HTTP\/1\.1 200 OK\r\nContent-Type: text\/plain; charset=utf-8\r\nContent-Length: 5\r\nDate: [^\r]+ GMT\r\n\r\nhello){2}$/,
    );
    expect(stream.ended).toBe(false);
  });

  it("answers HEAD with the same head and no body", () => {
    const { connection, stream } = open("hello");
    send(connection, "HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    expect(stream.text).toMatch(/Content-Length: 5\r\nDate: [^\r]+\r\n\r\n$/);
  });

  it("ends after Connection: close, and after HTTP/1.0", () => {
    for (
      const request of [
        "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a.example\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
      ]
    ) {
      const { connection, stream } = open("hello");
      send(connection, request + "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
      expect(stream.text).toMatch(/\r\nConnection: close\r\n\r\nhello$/);
      expect(stream.ended).toBe(true);
    }
  });

  it("reads past a body, and says 100 where it is asked", () => {
    const { connection, stream } = open("hello");
    send(
      connection,
      "POST / HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
    );
    expect(stream.text).toBe("HTTP/1.1 100 Continue\r\n\r\n");
    send(connection, "abc");
    expect(stream.text).toContain("\r\n\r\nHTTP/1.1 200 OK\r\n");
  });

  it("answers pipelined requests in order, one after the other, however slow the reader", () => {
    const { connection, stream } = open("hello");
    stream.room = 0;
    send(connection, decode(get("a.example")).repeat(5));
    expect(stream.count).toBe(1);
    expect(stream.paused).toBe(true);
    for (let answered = 2; answered <= 5; answered++) {
      connection.drain();
      expect(stream.count).toBe(answered);
    }
    connection.drain();
    expect(stream.paused).toBe(false);
    send(connection, get("a.example"));
    expect(stream.count).toBe(6);
  });

  it("answers all requests that came before the peer's end, however slow the reader", () => {
    const { connection, stream } = open("hello");
    stream.room = 0;
    send(connection, decode(get("a.example")).repeat(4));
    connection.end();
    expect(stream.count).toBe(1);
    expect(stream.ended).toBe(false);
    stream.room = Infinity;
    connection.drain();
    expect(stream.count).toBe(4);
    expect(stream.ended).toBe(true);
  });

  it("answers nothing behind a request with Connection: close, however slow the reader", () => {
    const { connection, stream } = open("hello");
    stream.room = 0;
    send(
      connection,
      decode(get("a.example", "/", "Connection: close")) + decode(get("a.example")),
    );
    stream.room = Infinity;
    connection.drain();
    expect(stream.count).toBe(1);
    expect(stream.ended).toBe(true);
  });

  it("sends a large body in pieces that are one segment each when sealed, as there is room", () => {
    const text = "0123456789".repeat(100_000);
    const { connection, stream } = open(text);
    stream.room = 0;
    send(connection, get("a.example"));
    let drains = 0;
    while (stream.bytes < text.length) {
      stream.room = 0;
      connection.drain();
      drains++;
    }
    expect(drains).toBeGreaterThan(10);
    const sealed = stream.writes.map((length) => length + Math.ceil(length / MAX_PLAINTEXT) * 22);
    expect(Math.max(...sealed)).toBe(SEGMENT_BYTES);
    expect(stream.text.endsWith("\r\n\r\n" + text)).toBe(true);
    connection.drain();
    send(connection, "HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    expect(stream.text).toMatch(/Content-Length: 1000000\r\nDate: [^\r]+\r\n\r\n$/);
  });

  it("ends after the answer where the peer has ended", () => {
    const { connection, stream } = open("0123456789".repeat(10_000));
    stream.room = 0;
    send(connection, get("a.example"));
    connection.end();
    expect(stream.ended).toBe(false);
    stream.room = Infinity;
    connection.drain();
    connection.drain();
    expect(stream.ended).toBe(true);
  });

  it.each([
    ["400 Bad Request", "GET / HTTP/1.1\r\n\r\n"],
    [
      "413 Content Too Large",
      "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9999999\r\n\r\n",
    ],
    ["417 Expectation Failed", "GET / HTTP/1.1\r\nHost: a.example\r\nExpect: tea\r\n\r\n"],
    ["431 Request Header Fields Too Large", `GET /${"a".repeat(20_000)} HTTP/1.1\r\n`],
    ["501 Not Implemented", "GET / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: br\r\n\r\n"],
    ["505 HTTP Version Not Supported", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ["421 Misdirected Request", get("other.example")],
  ])("answers %s, and ends", (status, request) => {
    const { connection, stream } = open("hello");
    send(connection, request);
    send(connection, get("a.example"));
    expect(stream.text).toBe(
      `HTTP/1.1 ${status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
    );
    expect(stream.ended).toBe(true);
  });

  it("policy 8.3: says nothing but 421 on the public name, whatever is asked", () => {
    for (const request of [get("public.example"), get("a.example"), "nonsense\r\n\r\n"]) {
      const { connection, stream } = open("hello", { publicNameOnly: true });
      send(connection, request);
      expect(stream.text).toBe(
        "HTTP/1.1 421 Misdirected Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
      );
      expect(stream.ended).toBe(true);
    }
  });
});

describe("respond on an edge", () => {
  it("serves a text of 2 MB to a client, twice on one connection", async () => {
    const text = "0123456789".repeat(200_000);
    const edge = await TestEdge.start({ sites: [{ names: ["a.example"], text }] });
    const client = await edge.connect();
    for (let i = 0; i < 2; i++) {
      await client.write(get("a.example"));
      const head = await readUntil(client, "\r\n\r\n");
      const inHead = head.length - head.indexOf("\r\n\r\n") - 4;
      await client.readExactly(text.length - inHead);
    }
    await client.write(get("a.example", "/", "Connection: close"));
    expect((await readText(client)).length).toBeGreaterThan(text.length);
    await client.close();
  });

  it("policy 8.3: the public name's handshake completes, and HTTP gets 421 and the end", async () => {
    const edge = await TestEdge.start({
      tls: { ech: true },
      sites: [{ names: ["a.example"] }, { names: ["public.example"], publicNameOnly: true }],
    });
    const client = await edge.connect({ serverName: "public.example" });
    expect(client.negotiated.retryConfigs).toBeUndefined();
    await client.write(get("public.example"));
    expect(await readText(client)).toMatch(/^HTTP\/1\.1 421 [^]*\r\n\r\n$/);
    await client.close();
  });

  it("policy 8.5: Host of another site whose name the shown certificate covers is served, by that site", async () => {
    const answer = await ask({ host: "b.example", covers: ["a.example", "b.example"] });
    expect(answer).toMatch(/^HTTP\/1\.1 200 [^]*this is b\.example$/);
  });

  it("policy 8.5: Host of another site outside of the certificate gets 421", async () => {
    expect(await ask({ host: "b.example", covers: ["a.example"] })).toContain("421");
  });

  it("policy 8.5: Host that is no site of ours gets 421, though the certificate covers it", async () => {
    expect(await ask({ host: "c.example", covers: ["a.example", "c.example"] })).toContain("421");
  });

  it("policy 8.5: Host is the ECH public name: 421", async () => {
    const covers = ["a.example", "public.example"];
    expect(await ask({ host: "public.example", covers })).toContain("421");
  });

  it("policy 8.5: another name of the same site is served", async () => {
    expect(await ask({ host: "a2.example", names: ["a.example", "a2.example"] })).toContain("200");
  });

  it("policy 7.5: from a site without client authentication to one with it: 421", async () => {
    const covers = ["a.example", "auth.example"];
    expect(await ask({ host: "auth.example", covers })).toContain("421");
  });

  it("policy 2.2: case, port and trailing dot of Host do not matter", async () => {
    for (const host of ["A.Example", "a.example.", "a.example:443"]) {
      expect(await ask({ host })).toContain("200");
    }
  });
});

/** The answer of the site a.example to a Host. */
async function ask(wish: {
  host: string;
  names?: readonly string[];
  covers?: readonly string[];
}): Promise<string> {
  const names = wish.names ?? ["a.example"];
  const edge = await TestEdge.start({
    sites: [
      { names, covers: wish.covers ?? names },
      { names: ["b.example"] },
      { names: ["auth.example"], clientAuth: { mode: "require", authorities: [] } },
      { names: ["public.example"], publicNameOnly: true },
    ],
  });
  const client = await edge.connect();
  await client.write(get(wish.host, "/", "Connection: close"));
  const text = await readText(client);
  await client.close();
  return text;
}

class FakeStream implements Stream {
  text = "";
  bytes = 0;
  writes: number[] = [];
  ended = false;
  paused = false;
  /** Writes until one says false. */
  room = Infinity;

  get count(): number {
    return this.text.split("HTTP/1.1 200").length - 1;
  }
  write(bytes: Uint8Array, start: number, end: number): boolean {
    this.text += decode(bytes.subarray(start, end));
    this.writes.push(end - start);
    this.bytes += end - start;
    return this.room-- > 0;
  }
  end(): void {
    this.ended = true;
  }
  endWrite(): void {
    this.ended = true;
  }
  abort(): void {}
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
}

function open(text: string, facts: Partial<ConnectionFacts> = {}) {
  const stream = new FakeStream();
  const handler = new RespondHandler(text, DEFAULT_HTTP_LIMITS);
  const connection = handler.open(stream, {
    publicNameOnly: false,
    handlerOf: (host: string) => host === "a.example" ? handler : undefined,
    ...facts,
  } as ConnectionFacts);
  return { connection, stream };
}

function send(
  connection: { data(bytes: Uint8Array, start: number, end: number): void },
  request: string | Uint8Array,
): void {
  const bytes = typeof request === "string" ? new TextEncoder().encode(request) : request;
  connection.data(bytes, 0, bytes.length);
}
