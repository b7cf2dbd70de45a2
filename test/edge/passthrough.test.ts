import tls from "node:tls";
import fc from "fast-check";
import { describe, expect, it, onTestFinished } from "vitest";
import { connect } from "../../src/client/client.ts";
import { connectTcp } from "../../src/client/tcp-transport.ts";
import { ForwardHandler } from "../../src/edge/handlers/forward.ts";
import { HelloPeek } from "../../src/edge/passthrough.ts";
import type { PassthroughSpec } from "../../src/snapshot/forward-spec.ts";
import { testCertificate } from "../support/certificates.ts";
import { testCrypto } from "../support/server-config.ts";
import { get, readUntil, TestEdge, turn, until } from "./edge-kit.ts";
import { echo, encode, Recorder, TestUpstream, testUpstreams } from "./forward-kit.ts";

describe("passthrough", () => {
  it("hands a connection on by its name, and the rest is ours", async () => {
    const behind = await TestEdge.start({ sites: [{ names: ["b.example"], text: "from behind" }] });
    const { edge, upstreams } = await passing({ hostname: "127.0.0.1", port: behind.port });
    const client = await edge.connect({ serverName: "b.example", roots: behind.roots });
    await client.write(get("b.example"));
    expect(await readUntil(client, "behind")).toContain("200");
    const ours = await edge.connect();
    await ours.write(get("a.example"));
    expect(await readUntil(ours, "a.example")).toContain("200");
    expect(edge.server.counters).toMatchObject({
      passedOn: 1,
      handshakes: { full: 1 },
      pending: 0,
    });
    expect(upstreams.of({ hostname: "127.0.0.1", port: behind.port }).connections).toBe(1);
    await client.close();
    await ours.close();
    await until(() => edge.server.liveConnections === 0);
  });

  it("hands on what we do not speak: TLS 1.2", async () => {
    const { chainPem, keyPem } = await testCertificate({ names: ["b.example"] });
    const server = tls.createServer(
      { cert: chainPem, key: keyPem, maxVersion: "TLSv1.2" },
      (socket) => socket.end("old but there"),
    );
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void server.close());
    const { port } = server.address() as { port: number };
    const { edge } = await passing({ hostname: "127.0.0.1", port });
    const client = tls.connect({
      host: "127.0.0.1",
      port: edge.port,
      servername: "b.example",
      rejectUnauthorized: false,
    });
    let said = "";
    client.on("data", (chunk: Buffer) => said += chunk.toString());
    let protocol: string | null = null;
    client.on("secureConnect", () => protocol = client.getProtocol());
    client.on("error", () => {});
    await until(() => said !== "");
    expect(said).toBe("old but there");
    expect(protocol).toBe("TLSv1.2");
    client.destroy();
  });

  it("goes by the outer name of a hello with ECH, GREASE or not", async () => {
    const behind = await TestEdge.start({ sites: [{ names: ["b.example"] }] });
    const { edge } = await passing({ hostname: "127.0.0.1", port: behind.port }, {
      tls: { ech: true },
      sites: [{ names: ["a.example"] }, { names: ["public.example"], publicNameOnly: true }],
    });
    const grease = await edge.connect({
      serverName: "b.example",
      roots: behind.roots,
      ech: "grease",
    });
    const ours = await edge.connect({ ech: { configList: edge.configList! } });
    expect(ours.negotiated.ech).toBe("accepted");
    expect(edge.server.counters.passedOn).toBe(1);
    await grease.close();
    await ours.close();
  });

  it("reads a hello that comes in pieces, each way round", async () => {
    const behind = await TestEdge.start({ sites: [{ names: ["b.example"], text: "from behind" }] });
    const { edge } = await passing({ hostname: "127.0.0.1", port: behind.port });
    for (const serverName of ["a.example", "b.example"]) {
      const inner = await connectTcp("127.0.0.1", edge.port);
      const transport = {
        async write(bytes: Uint8Array) {
          for (let at = 0; at < bytes.length; at += 50) {
            await inner.write(bytes.subarray(at, at + 50));
            await turn();
          }
        },
        read: () => inner.read(),
        close: () => inner.close(),
      };
      const roots = [...edge.roots, ...behind.roots];
      const client = await connect(transport, { crypto: testCrypto, serverName, roots });
      await client.write(get(serverName));
      expect(await readUntil(client, serverName === "a.example" ? "this is" : "behind"))
        .toContain("200");
      await client.close();
    }
  });

  it("puts a PROXY header before the hello", async () => {
    const recorders: Recorder[] = [];
    const upstream = await TestUpstream.start((socket) =>
      void recorders.push(new Recorder(socket))
    );
    const { edge } = await passing(upstream.address, {}, 2);
    const client = await edge.raw();
    client.socket.write(helloFor("b.example"));
    await until(() => (recorders[0]?.bytes ?? 0) > 28 + 12);
    const { text } = recorders[0]!;
    expect(text.slice(0, 16)).toBe("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x18");
    expect(text.slice(28, 40)).toBe("\x02\0\x09b.example");
    expect(Buffer.from(text.slice(40), "latin1")).toEqual(Buffer.from(helloFor("b.example")));
  });

  it("keeps half-close both ways", async () => {
    const upstream = await TestUpstream.start((socket) => {
      socket.write("last words");
      echo(socket);
    });
    const { edge } = await passing(upstream.address);
    const client = await edge.raw();
    const hello = helloFor("b.example");
    client.socket.write(hello);
    client.socket.end(Buffer.from("and my last"));
    await until(() => client.ended);
    expect(client.text).toBe("last words" + Buffer.from(hello).toString("latin1") + "and my last");
    await until(() => edge.server.liveConnections === 0);
  });

  it("takes what a client says after the upstream's end", async () => {
    const recorders: Recorder[] = [];
    const upstream = await TestUpstream.start((socket) => {
      recorders.push(new Recorder(socket));
      socket.end("no more");
    });
    const { edge } = await passing(upstream.address);
    const client = await edge.raw();
    const hello = helloFor("b.example");
    client.socket.write(hello);
    await until(() => client.ended);
    const more = new Uint8Array(1_000_000);
    client.socket.end(more);
    await until(() => recorders[0]!.over);
    expect(recorders[0]!.bytes).toBe(hello.length + more.length);
    await until(() => edge.server.liveConnections === 0);
  });

  it("keeps what a client said last for an upstream that takes it late", async () => {
    const recorders: Recorder[] = [];
    const upstream = await TestUpstream.start((socket) => {
      recorders.push(new Recorder(socket));
      socket.pause();
      socket.end("no more");
    });
    const { edge } = await passing(upstream.address);
    const client = await edge.raw();
    const hello = helloFor("b.example");
    client.socket.write(hello);
    await until(() => client.ended);
    const more = new Uint8Array(8 * 1024 * 1024);
    client.socket.end(more);
    for (let i = 0; i < 100; i++) await turn();
    recorders[0]!.socket.resume();
    await until(() => recorders[0]!.over);
    expect(recorders[0]!.bytes).toBe(hello.length + more.length);
    await until(() => edge.server.liveConnections === 0);
  });

  it("holds a hello that never ends to its deadline", async () => {
    const { edge } = await passing({ path: "/nowhere" });
    const client = await edge.raw();
    client.socket.write(helloFor("b.example").subarray(0, 60));
    await until(() => edge.server.counters.accepted === 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    edge.clock.advance(edge.server.limits.helloTimeoutMs);
    await until(() => client.ended || client.closed);
    expect(edge.server.counters.limits).toEqual({ helloTimeout: 1 });
  });

  it("leaves it to the server what no hello is: the alert is the same as ever", async () => {
    const { edge } = await passing({ path: "/nowhere" });
    const client = await edge.raw();
    client.socket.write(new Uint8Array([22, 3, 1, 0, 5, 2, 0, 0, 1, 0]));
    await until(() => client.ended || client.closed);
    expect([...client.received]).toEqual([21, 3, 3, 0, 2, 2, 10]);
    client.socket.end();
    await until(() => edge.server.liveConnections === 0);
    expect(edge.server.counters.errors).toEqual({ "unexpected message": 1 });
  });
});

describe("the look at a hello", () => {
  it("tells nothing before the end, however it is cut, and then the name and every byte", () => {
    const whole = records(helloMessage("B.Example."), 7);
    for (let cut = 0; cut <= whole.length; cut++) {
      const peek = new HelloPeek(16384);
      const first = peek.receive(whole.slice(0, cut));
      const peeked = cut === whole.length ? first : peek.receive(whole.slice(cut));
      if (cut < whole.length) expect(first).toBeUndefined();
      expect(peeked).toEqual({ bytes: whole, name: "b.example" });
    }
  });

  it("takes a hello of 16 KiB in records of one byte, byte by byte, in a moment", () => {
    const whole = records(helloMessage("b.example", 16_000), 1);
    const peek = new HelloPeek(16384);
    const start = performance.now();
    let peeked;
    for (let i = 0; i < whole.length; i++) peeked = peek.receive(whole.slice(i, i + 1));
    expect(peeked?.name).toBe("b.example");
    expect(performance.now() - start).toBeLessThan(1_000);
  });

  it("throws at nothing, and gives back every byte", () => {
    const start = records(helloMessage("b.example"), 50);
    fc.assert(fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.nat(start.length),
      fc.array(fc.nat(start.length + 300), { maxLength: 4 }),
      (noise, kept, cuts) => {
        const bytes = new Uint8Array([...start.subarray(0, kept), ...noise]);
        const peek = new HelloPeek(16384);
        let at = 0;
        for (const cut of [...cuts.toSorted((a, b) => a - b), bytes.length]) {
          const end = Math.min(cut, bytes.length);
          if (end === at) continue;
          const peeked = peek.receive(bytes.slice(at, end));
          at = end;
          if (peeked === undefined) continue;
          expect(peeked.bytes).toEqual(bytes.subarray(0, end));
          return;
        }
      },
    ));
  });

  it.each([
    ["no server_name", records(helloMessage(undefined), 500)],
    ["an IP literal", records(helloMessage("192.0.2.1"), 500)],
    ["a name that is none", records(helloMessage("b\0example"), 500)],
    ["a hello over the limit", records(helloMessage("b.example", 17_000), 500)],
    ["another message", new Uint8Array([22, 3, 1, 0, 4, 2, 0, 0, 0])],
    ["an alert", new Uint8Array([21, 3, 3, 0, 2, 2, 40])],
    ["an empty record", new Uint8Array([22, 3, 3, 0, 0])],
    ["a record that is too long", new Uint8Array([22, 3, 3, 0x40, 1])],
    ["trailing bytes in the hello", records(grown(helloMessage("b.example")), 500)],
  ])("finds no name in %s, and keeps the bytes", (_what, bytes) => {
    const peeked = new HelloPeek(16384).receive(bytes);
    expect(peeked).toEqual({ bytes, name: undefined });
  });
});

async function passing(
  address: PassthroughSpec["upstreams"][number],
  wish: Parameters<typeof TestEdge.start>[0] = {},
  proxyProtocol: 0 | 2 = 0,
) {
  const { upstreams } = await testUpstreams();
  const spec: PassthroughSpec = { kind: "passthrough", upstreams: [address], proxyProtocol };
  const handler = new ForwardHandler(spec, upstreams);
  const edge = await TestEdge.start({
    passOn: () => (name) => name === "b.example" ? handler : undefined,
    ...wish,
  });
  return { edge, upstreams };
}

function helloFor(name: string): Uint8Array {
  return records(helloMessage(name), 16384);
}

/** The least that has a name: what is passed on is not ours to judge. */
function helloMessage(name: string | undefined, padding: number = 0): Uint8Array {
  const extensions: number[] = [];
  if (name !== undefined) {
    const bytes = [...encode(name)];
    const entry = [0, ...u16(bytes.length), ...bytes];
    extensions.push(0, 0, ...u16(entry.length + 2), ...u16(entry.length), ...entry);
  }
  if (padding > 0) extensions.push(0, 21, ...u16(padding), ...Array<number>(padding).fill(0));
  const body = [3, 3, ...Array<number>(32).fill(7), 0, 0, 2, 0x13, 1, 1, 0];
  body.push(...u16(extensions.length), ...extensions);
  return new Uint8Array([1, 0, ...u16(body.length), ...body]);
}

function grown(message: Uint8Array): Uint8Array {
  const more = new Uint8Array([...message, 0]);
  more.set(u16(more.length - 4), 2);
  return more;
}

function records(message: Uint8Array, size: number): Uint8Array {
  const bytes: number[] = [];
  for (let at = 0; at < message.length; at += size) {
    const content = message.subarray(at, at + size);
    bytes.push(22, 3, 1, ...u16(content.length), ...content);
  }
  return new Uint8Array(bytes);
}

function u16(value: number): number[] {
  return [value >>> 8, value & 0xff];
}
