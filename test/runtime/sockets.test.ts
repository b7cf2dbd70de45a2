/** One suite for all three runtimes: whichever executes it is the one that is tested. */
import net from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { thisRuntime } from "../../src/runtime/detect.ts";
import type { Listener, Socket, SocketEvents } from "../../src/runtime/runtime.ts";

const runtime = await thisRuntime();
const listeners: Listener[] = [];

afterEach(async () => {
  for (const listener of listeners.splice(0)) await listener.stop();
});

describe(`sockets of ${runtime.name}`, () => {
  it("echo 10 MB both ways, in order and whole", async () => {
    const listener = await serve(() => new Echo());
    const sent = pattern(10 * 1024 * 1024);
    const client = net.connect(listener.port, "127.0.0.1");
    client.end(sent);
    const received = await readAll(client);
    expect(received.length).toBe(sent.length);
    expect(Buffer.compare(received, sent)).toBe(0);
  });

  it("tell both addresses", async () => {
    const accepted = Promise.withResolvers<Socket>();
    const listener = await serve((socket) => (accepted.resolve(socket), new Recorder(socket)));
    const client = net.connect(listener.port, "127.0.0.1");
    const socket = await accepted.promise;
    await once(client, "connect");
    expect(socket.remoteAddress).toBe("127.0.0.1");
    expect(socket.localAddress).toBe("127.0.0.1");
    expect(socket.localPort).toBe(listener.port);
    expect(socket.remotePort).toBe(client.localPort);
    client.destroy();
  });

  it("go on writing after the peer's FIN, then close without an error", async () => {
    let recorder: Recorder | undefined;
    const listener = await serve((socket) => (recorder = new Recorder(socket)));
    const client = net.connect(listener.port, "127.0.0.1");
    client.end("question");
    await until(() => recorder?.ended === true);
    recorder?.socket.write(text("late answer"), 0, 11);
    recorder?.socket.shutdown();
    expect((await readAll(client)).toString()).toBe("late answer");
    await until(() => recorder?.closed === true);
    expect(recorder?.text).toBe("question");
    expect(recorder?.error).toBeUndefined();
  });

  it("go on reading after their own FIN", async () => {
    let recorder: Recorder | undefined;
    const listener = await serve((socket) => {
      socket.write(text("bye"), 0, 3);
      socket.shutdown();
      return (recorder = new Recorder(socket));
    });
    const client = net.connect({ port: listener.port, host: "127.0.0.1", allowHalfOpen: true });
    expect((await readAll(client)).toString()).toBe("bye");
    client.end("still here");
    await until(() => recorder?.closed === true);
    expect(recorder?.text).toBe("still here");
    expect(recorder?.error).toBeUndefined();
    expect(recorder?.socket.write(text("x"), 0, 1)).toBe(0);
  });

  it("take less than all when the peer does not read, and say when there is room", async () => {
    let recorder: Recorder | undefined;
    const listener = await serve((socket) => (recorder = new Recorder(socket)));
    const client = net.connect(listener.port, "127.0.0.1");
    client.pause();
    await until(() => recorder !== undefined);
    const socket = recorder!.socket;
    const piece = pattern(64 * 1024);
    let taken = 0;
    for (;;) {
      const now = socket.write(piece, 0, piece.length);
      taken += now;
      if (now === piece.length) await turn(); // a queue needs its turn to empty
      else if ((taken += socket.write(piece, now, piece.length)) && recorder!.drains === 0) break;
    }
    expect(taken).toBeLessThan(64 * 1024 * 1024);
    expect(recorder!.drains).toBe(0);
    client.resume();
    let read = 0;
    client.on("data", (chunk) => read += chunk.length);
    await until(() => recorder!.drains > 0);
    await until(() => read === taken);
    client.destroy();
  });

  it("send 20 MB from one buffer, by short writes and drains", async () => {
    const all = pattern(20 * 1024 * 1024);
    const listener = await serve((socket) => {
      let at = 0;
      const pump = (): void => {
        at += socket.write(all, at, all.length);
        if (at === all.length) socket.shutdown();
      };
      setTimeout(pump, 1);
      return { data() {}, drain: pump, end() {}, close() {} };
    });
    const received = await readAll(net.connect(listener.port, "127.0.0.1"));
    expect(Buffer.compare(received, all)).toBe(0);
  });

  it("say that there is room even where the kernel took at once what was taken", async () => {
    let recorder: Recorder | undefined;
    const listener = await serve((socket) => (recorder = new Recorder(socket)));
    const client = net.connect(listener.port, "127.0.0.1");
    let read = 0;
    client.on("data", (chunk) => read += chunk.length);
    await until(() => recorder !== undefined);
    const piece = pattern(300 * 1024);
    // The kernel's buffer grows with use, and in the end takes a whole queue.
    for (let round = 1; round <= 30; round++) {
      let at = 0;
      while (at < piece.length) {
        const { drains } = recorder!;
        at += recorder!.socket.write(piece, at, piece.length);
        if (at < piece.length) await until(() => recorder!.drains > drains);
      }
      await until(() => read === round * piece.length);
    }
    client.destroy();
  });

  it("hold data back while paused, and lose none of it", async () => {
    let recorder: Recorder | undefined;
    const listener = await serve((socket) => {
      socket.pause();
      return (recorder = new Recorder(socket));
    });
    const client = net.connect(listener.port, "127.0.0.1");
    client.write("held");
    await until(() => recorder !== undefined);
    for (let i = 0; i < 20; i++) await turn();
    expect(recorder!.text).toBe("");
    recorder!.socket.resume();
    await until(() => recorder!.text === "held");
    recorder!.socket.pause();
    client.end(" back");
    for (let i = 0; i < 20; i++) await turn();
    expect(recorder!.text).toBe("held");
    recorder!.socket.resume();
    await until(() => recorder!.ended);
    expect(recorder!.text).toBe("held back");
    recorder!.socket.terminate();
    await until(() => recorder!.closed);
  });

  it("leave what they handed over as it was, whatever comes behind it", async () => {
    const pieces: Uint8Array[] = [];
    const listener = await serve((socket) => ({
      data: (bytes) => {
        pieces.push(bytes);
        socket.write(text("."), 0, 1);
      },
      drain() {},
      end() {},
      close() {},
    }));
    const client = net.connect({ port: listener.port, host: "127.0.0.1", noDelay: true });
    const sent = pattern(40_000);
    // Of all sizes, so that a buffer's rest is read into, filled to its end, or found too small.
    for (let at = 0, length = 1; at < sent.length; at += length, length = length % 1500 + 211) {
      client.write(sent.subarray(at, at + length));
      await once(client, "data");
    }
    expect(pieces.length).toBeGreaterThan(30);
    expect(Buffer.compare(Buffer.concat(pieces), sent)).toBe(0);
    client.destroy();
  });

  it("take back what they handed over, and hand over the next bytes as they are", async () => {
    const chunks: Uint8Array[] = [];
    const whole: Uint8Array[] = [];
    const recorder = new Recorder();
    const listener = await serve((socket) => ({
      data(bytes) {
        whole.push(bytes.slice());
        chunks.push(bytes);
        socket.giveBack?.(bytes);
      },
      drain() {},
      end: () => recorder.end(),
      close() {},
    }));
    const client = net.connect(listener.port, "127.0.0.1");
    const sent = pattern(8 * 1024 * 1024);
    client.end(sent);
    await until(() => recorder.ended);
    expect(Buffer.compare(Buffer.concat(whole), sent)).toBe(0);
    if (runtime.name !== "bun") return; // a collector does as well
    const held = chunks.filter((chunk, i) => chunk.length > 0 && whole[i]!.length >= 4096);
    expect(held.length).toBeLessThanOrEqual(1);
    client.destroy();
  });

  it("hand over nothing more once close was asked for", async () => {
    let recorder: Recorder | undefined;
    const listener = await serve((socket) => {
      const events = recorder = new Recorder(socket);
      events.data = (bytes) => {
        Recorder.prototype.data.call(events, bytes);
        socket.write(text("bye"), 0, 3);
        socket.close();
      };
      return events;
    });
    const client = net.connect({ port: listener.port, host: "127.0.0.1", allowHalfOpen: true });
    client.on("error", () => {});
    client.write("a");
    expect((await readAll(client)).toString()).toBe("bye");
    client.write("b");
    await until(() => recorder?.closed === true);
    expect(recorder?.text).toBe("a");
    expect(recorder?.closes).toBe(1);
    expect(recorder?.error).toBeUndefined();
    client.destroy();
  });

  it("say that the peer reset the connection", async () => {
    let recorder: Recorder | undefined;
    const listener = await serve((socket) => (recorder = new Recorder(socket)));
    const client = net.connect(listener.port, "127.0.0.1");
    client.on("error", () => {});
    client.write("x");
    await until(() => recorder?.text === "x");
    client.resetAndDestroy();
    await until(() => recorder!.closed || recorder!.ended);
    recorder!.socket.terminate();
    await until(() => recorder!.closed);
    expect(recorder!.closes).toBe(1);
  });

  it("close once when terminated, whatever is unsent", async () => {
    let recorder: Recorder | undefined;
    const listener = await serve((socket) => (recorder = new Recorder(socket)));
    const client = net.connect(listener.port, "127.0.0.1");
    client.on("error", () => {});
    client.pause();
    await until(() => recorder !== undefined);
    const piece = pattern(64 * 1024);
    while (recorder!.socket.write(piece, 0, piece.length) === piece.length) await turn();
    recorder!.socket.terminate();
    recorder!.socket.terminate();
    await until(() => recorder!.closed);
    for (let i = 0; i < 5; i++) await turn();
    expect(recorder!.closes).toBe(1);
    expect(recorder!.socket.write(piece, 0, 1)).toBe(0);
    client.destroy();
  });

  it("deliver what was written before close, without waiting for the peer's FIN", async () => {
    let recorder: Recorder | undefined;
    const listener = await serve((socket) => (recorder = new Recorder(socket)));
    const client = net.connect({ port: listener.port, host: "127.0.0.1", allowHalfOpen: true });
    client.pause();
    await until(() => recorder !== undefined);
    const piece = pattern(64 * 1024);
    const taken = recorder!.socket.write(piece, 0, piece.length);
    recorder!.socket.shutdown();
    recorder!.socket.close();
    await until(() => recorder!.closed);
    expect(recorder!.error).toBeUndefined();
    const received = readAll(client);
    client.resume();
    expect((await received).length).toBe(taken);
    client.destroy();
  });

  it.each(["alone", "behind its FIN"])("close at once when all is written, %s", async (how) => {
    let recorder: Recorder | undefined;
    const listener = await serve((socket) => (recorder = new Recorder(socket)));
    const client = net.connect({ port: listener.port, host: "127.0.0.1", allowHalfOpen: true });
    await until(() => recorder !== undefined);
    const { socket } = recorder!;
    socket.write(text("bye"), 0, 3);
    if (how !== "alone") socket.shutdown();
    socket.close();
    expect((await readAll(client)).toString()).toBe("bye");
    await until(() => recorder!.closed);
    expect(recorder!.error).toBeUndefined();
    expect(recorder!.closes).toBe(1);
    expect(socket.write(text("x"), 0, 1)).toBe(0);
    client.destroy();
  });

  it("say EADDRINUSE when the port is taken", async () => {
    const listener = await serve((socket) => new Recorder(socket));
    await expect(
      runtime.listen({ hostname: "127.0.0.1", port: listener.port }, (s) => new Recorder(s)),
    ).rejects.toMatchObject({ code: "EADDRINUSE" });
  });

  it("say EADDRNOTAVAIL when the address is not ours", async () => {
    await expect(
      runtime.listen({ hostname: "192.0.2.1", port: 0 }, (s) => new Recorder(s)),
    ).rejects.toMatchObject({ code: "EADDRNOTAVAIL" });
  });

  it.skipIf(runtime.name === "deno")("take one port on :: and on 0.0.0.0", async () => {
    // Deno cannot: it ignores ipv6Only.
    const six = await runtime.listen({ hostname: "::", port: 0 }, (s) => new Recorder(s));
    listeners.push(six);
    const four = await runtime.listen(
      { hostname: "0.0.0.0", port: six.port },
      (s) => new Recorder(s),
    );
    listeners.push(four);
    expect(four.port).toBe(six.port);
  });

  it("connect, and say ECONNREFUSED where nobody listens", async () => {
    const listener = await serve(() => new Echo());
    const events = new Recorder();
    const socket = await runtime.connect({ hostname: "127.0.0.1", port: listener.port }, events);
    expect(socket.remotePort).toBe(listener.port);
    socket.write(text("hello"), 0, 5);
    await until(() => events.text === "hello");
    socket.shutdown();
    await until(() => events.closed);
    await listener.stop();
    await expect(
      runtime.connect({ hostname: "127.0.0.1", port: listener.port }, new Recorder()),
    ).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });

  it("accept 500 connections at once", async () => {
    const listener = await serve(() => new Echo());
    await Promise.all(Array.from({ length: 500 }, async (_, i) => {
      const client = net.connect(listener.port, "127.0.0.1");
      client.end(`number ${i}`);
      expect((await readAll(client)).toString()).toBe(`number ${i}`);
    }));
  });

  it("go on when the listener stops", async () => {
    const listener = await serve(() => new Echo());
    const client = net.connect(listener.port, "127.0.0.1");
    client.write("a");
    await once(client, "data");
    await listener.stop();
    client.end("b");
    expect((await readAll(client)).toString()).toBe("b");
    const late = net.connect(listener.port, "127.0.0.1");
    const [error] = await once(late, "error");
    expect(error).toMatchObject({ code: "ECONNREFUSED" });
  });
});

async function serve(accept: (socket: Socket) => SocketEvents): Promise<Listener> {
  const listener = await runtime.listen({ hostname: "127.0.0.1", port: 0 }, (socket) => {
    const events = accept(socket);
    if (events instanceof Echo) events.socket = socket;
    return events;
  });
  listeners.push(listener);
  return listener;
}

/** Sends everything back, never holding more than one unsent chunk: it pauses. */
class Echo implements SocketEvents {
  socket: Socket | undefined;
  #rest: Uint8Array[] = [];
  #ended = false;

  data(bytes: Uint8Array): void {
    this.#rest.push(bytes);
    this.#pump();
  }
  drain(): void {
    this.#pump();
  }
  end(): void {
    this.#ended = true;
    this.#pump();
  }
  close(): void {}

  #pump(): void {
    for (let chunk = this.#rest[0]; chunk; chunk = this.#rest[0]) {
      const taken = this.socket!.write(chunk, 0, chunk.length);
      if (taken < chunk.length) {
        this.#rest[0] = chunk.subarray(taken);
        this.socket!.pause();
        return;
      }
      this.#rest.shift();
    }
    this.socket!.resume();
    if (this.#ended) this.socket!.shutdown();
  }
}

class Recorder implements SocketEvents {
  readonly socket: Socket;
  text = "";
  drains = 0;
  ended = false;
  closes = 0;
  error: Error | undefined;

  constructor(socket?: Socket) {
    this.socket = socket as Socket;
  }
  get closed(): boolean {
    return this.closes > 0;
  }
  data(bytes: Uint8Array): void {
    this.text += new TextDecoder().decode(bytes);
  }
  drain(): void {
    this.drains++;
  }
  end(): void {
    this.ended = true;
  }
  close(error: Error | undefined): void {
    this.closes++;
    this.error = error;
  }
}

function pattern(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31) ^ (i >>> 8) ^ (i >>> 16);
  return bytes;
}

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

/** Until the peer's FIN. Not `for await`: it destroys the socket at the end. */
async function readAll(client: net.Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  client.on("data", (chunk) => chunks.push(chunk));
  await once(client, "end");
  return Buffer.concat(chunks);
}

function once(client: net.Socket, event: string): Promise<unknown[]> {
  return new Promise((resolve) => client.once(event, (...args: unknown[]) => resolve(args)));
}

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1));
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}
