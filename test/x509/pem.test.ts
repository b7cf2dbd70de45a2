import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { X509Error } from "../../src/x509/error.ts";
import { decodePem, encodePem } from "../../src/x509/pem.ts";

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
    ["-----BEGIN A-----\nAQID\n", "the PEM block A has no end"],
    ["-----BEGIN A-----\nAQID\n-----END B-----\n", "the PEM block A has no end"],
    ["-----BEGIN A-----\nAQI\n-----END A-----\n", "the PEM block A is not base64"],
    ["-----BEGIN A-----\n-----END A-----\n", "the PEM block A is not base64"],
    ["-----BEGIN A-----\nAQ!D\n-----END A-----\n", "the PEM block A is not base64"],
    ["-----BEGIN A-----\nAQ==AQ==\n-----END A-----\n", "the PEM block A is not base64"],
    ["-----BEGIN A", "a PEM block's first line is broken"],
    ["-----BEGIN \nA-----\nAQID\n-----END \nA-----\n", "a PEM block's first line is broken"],
  ])("is refused: %j", (text, message) => {
    expect(() => decodePem(text)).toThrow(new X509Error(message));
  });

  test("takes linear time for a text full of beginnings", () => {
    const text = "-----BEGIN A-----\nAQID\n-----END A-----\n".repeat(20_000);
    expect(decodePem(text)).toHaveLength(20_000);
  });
});
