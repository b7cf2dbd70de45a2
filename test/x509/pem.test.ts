import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { X509Error } from "../../src/x509/error.ts";
import { checkWhole, decodePem, encodePem, missingBlock } from "../../src/x509/pem.ts";

const GOOD = "-----BEGIN B-----\nAQID\n-----END B-----\n";
const TOO_FEW = '"A" in line 1 is damaged: it has too few or too many characters';

describe("PEM (RFC 7468)", () => {
  test("comes back as it went, in any number of blocks with text around them", () => {
    const der = fc.uint8Array({ minLength: 1, maxLength: 200 });
    fc.assert(fc.property(fc.array(der, { maxLength: 4 }), (ders) => {
      const text = ders.map((bytes) => `# comment\n${encodePem("X Y", bytes)}`).join("\n") + "tail";
      const blocks = decodePem(text);
      expect(blocks.map((block) => block.der)).toEqual(ders);
      for (const block of blocks) {
        expect(block).toMatchObject({ label: "X Y", text: encodePem("X Y", block.der) });
      }
    }));
  });

  test("is written in lines of 64 characters", () => {
    const lines = encodePem("CERTIFICATE", new Uint8Array(100)).split("\n");
    expect(lines.map((line) => line.length)).toEqual([27, 64, 64, 8, 25, 0]);
  });

  test("is read with CRLF, indents and spaces", () => {
    const text = "  -----BEGIN A-----\r\n AQ\r\n  ID \r\n-----END A-----\r\n";
    expect(decodePem(text).map(({ label, der }) => [label, ...der])).toEqual([["A", 1, 2, 3]]);
  });

  test("shows an old encrypted key by its empty content", () => {
    const text = "-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\n\nAQID\n-----END A-----\n";
    expect(decodePem(text)[0]?.der.length).toBe(0);
  });

  test.each([
    ["-----BEGIN A-----\nAQID\n", '"A" in line 1 has no end, "-----END A-----"'],
    ["-----BEGIN A-----\nAQID\n-----END B-----\n", '"A" in line 1 has no end, "-----END A-----"'],
    ["-----BEGIN A-----\nAQI\n-----END A-----\n", TOO_FEW],
    ["-----BEGIN A-----\n-----END A-----\n", '"A" in line 1 is empty'],
    [
      "-----BEGIN A-----\nAQ!D\n-----END A-----\n",
      '"A" in line 1 is damaged: line 2 is not base64',
    ],
    [
      "-----BEGIN A-----\nAQ==AQ==\n-----END A-----\n",
      '"A" in line 1 is damaged: line 2 is not base64',
    ],
    [
      "-----BEGIN A-----\nAQ==\nAQID\n-----END A-----\n",
      '"A" in line 1 is damaged: line 2 is not base64',
    ],
    [
      `\n${GOOD}#\n-----BEGIN A-----\r\nAQID\r\nAQ?D\r\nAQID\r\n-----END A-----`,
      '"A" in line 6 is damaged: line 8 is not base64',
    ],
    ["-----BEGIN A", "in line 1 does not begin as one does"],
    [
      `${GOOD}-----BEGIN \nA-----\nAQID\n-----END \nA-----\n`,
      "in line 4 does not begin as one does",
    ],
  ])("is refused: %j", (text, message) => {
    expect(() => decodePem(text)).toThrow(X509Error);
    expect(() => decodePem(text)).toThrow(`the PEM block ${message}`);
    expect(() => decodePem(text)).toThrow(/\. Copy the whole file again$/);
  });

  test("has a label that moves no terminal's cursor where it is told of", () => {
    const label = "A\x1b[2J\r";
    const told = JSON.stringify(label).slice(1, -1);
    expect(() => decodePem(`-----BEGIN ${label}-----\nAQ`)).toThrow(
      `the PEM block "${told}" in line 1 has no end, "-----END ${told}-----". `,
    );
    expect(() => decodePem(`-----BEGIN ${label}-----\n-----END ${label}-----`)).toThrow(
      `the PEM block "${told}" in line 1 is empty. `,
    );
    expect(missingBlock(encodePem(label, Uint8Array.of(0x30, 0)), "PRIVATE KEY").message).toBe(
      `it holds no "BEGIN PRIVATE KEY" block, but "BEGIN ${told}"`,
    );
  });

  test("never tells what stands in a block", () => {
    const text = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\nc2VjcmV0!\n-----END PRIVATE KEY-----\n";
    expect(() => decodePem(text)).toThrow(/^(?!.*c2Vj)/);
  });

  test("of DER is whole, or how far it is not is told", () => {
    const check = (...der: number[]) => () =>
      checkWhole(decodePem(encodePem("A", Uint8Array.from(der)))[0]!);
    const long = [0x30, 0x82, 0x01, 0x00, ...Array.from({ length: 256 }, () => 0)];
    check(0x30, 0)();
    check(0x30, 1, 5)();
    check(...long)();
    expect(check(0x30, 1)).toThrow("it has 2 bytes in place of 3");
    expect(check(0x30, 0, 1)).toThrow("it has 3 bytes in place of 2");
    expect(check(...long.slice(48))).toThrow("damaged where it begins");
    expect(check(...long.slice(0, -48))).toThrow("it has 212 bytes in place of 260");
    expect(check(0x30, 0x84, 255, 255, 255, 255)).toThrow("it has 6 bytes in place of 4294967301");
  });

  test("takes linear time for a text full of beginnings", () => {
    const text = "-----BEGIN A-----\nAQID\n-----END A-----\n".repeat(20_000);
    expect(decodePem(text)).toHaveLength(20_000);
  });
});

test("A last line of very many blanks is looked at once", () => {
  const text = `-----BEGIN A-----\nAQ${" ".repeat(500_000)}!\n-----END A-----\n`;
  const before = performance.now();
  expect(() => decodePem(text)).toThrow("line 2 is not base64");
  expect(performance.now() - before).toBeLessThan(5_000); // a quadratic look takes minutes
});
