import { expect, test } from "vitest";

import { BetweenLoads } from "../../bench/between.ts";
import { CpuClock, nextLine, start, stop } from "../../bench/processes.ts";

test.runIf(process.platform === "linux")("What is put off until after a load is seen", async () => {
  const loop = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
  const program = start("0,1", [
    "sh",
    "-c",
    `${loop}; echo up; while read go; do ${loop}; echo did; done`,
  ], "/");
  try {
    await nextLine(program, /^up/, 30_000);
    const pid = program.child.pid!;
    const [between] = await BetweenLoads.of([pid], 50);
    const clock = new CpuClock(pid);
    const work = async (): Promise<number> => {
      const before = clock.read();
      const did = nextLine(program, /^did/, 30_000);
      program.child.stdin!.write("go\n");
      await did;
      return clock.read() - before;
    };
    const load = await work();
    expect(between!.shares(load, 10).putOff).toBeLessThan(0.2);
    await work(); // and nobody counts it
    const { all, putOff } = between!.shares(load, 10);
    expect(all).toBeGreaterThan(0.3);
    expect(putOff).toBeGreaterThan(0.3);
  } finally {
    await stop(program);
  }
});
