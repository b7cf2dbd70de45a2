import { expect, it } from "vitest";
import { gather, GATHERED, type Gatherer, takeGathered } from "../../src/edge/handlers/gather.ts";

/** Writes down what is flushed to it. */
class Written implements Gatherer {
  readonly pieces: string[] = [];

  flush(): void {
    const length = takeGathered(this);
    if (length > 0) this.pieces.push(new TextDecoder().decode(GATHERED.subarray(0, length)));
  }
}

const bytes = (text: string) => new TextEncoder().encode(text);

it("puts the records of one turn together, and hands them over once", () => {
  const written = new Written();
  for (const text of ["<one>", "<two>", "<three>"]) {
    gather(written, bytes(text), 1, text.length - 1);
  }
  written.flush();
  written.flush();
  expect(written.pieces).toEqual(["onetwothree"]);
});

it("writes at once as many full records as one segment carries, and no byte twice", () => {
  const written = new Written();
  for (let i = 0; i < 9; i++) gather(written, bytes(String(i).repeat(16384)), 0, 16384);
  written.flush();
  expect(written.pieces.map((piece) => piece.length)).toEqual([49152, 49152, 49152]);
  expect(written.pieces.join("")).toBe(
    Array.from({ length: 9 }, (_, i) => String(i).repeat(16384)).join(""),
  );
});

it("hands over one connection's before it takes another's, and never one's to the other", () => {
  const [first, second] = [new Written(), new Written()];
  gather(first, bytes("first"), 0, 5);
  gather(second, bytes("second"), 0, 6);
  expect(first.pieces).toEqual(["first"]);
  first.flush();
  second.flush();
  expect([first.pieces, second.pieces]).toEqual([["first"], ["second"]]);
});

it("drops what an owner does not take that is gone", () => {
  const gone: Gatherer = { flush() {} };
  const written = new Written();
  gather(gone, bytes("lost"), 0, 4);
  gather(written, bytes("kept"), 0, 4);
  written.flush();
  expect(written.pieces).toEqual(["kept"]);
});
