/**
 * The table of README.md, from results that are kept: whoever changes a figure there has measured it.
 * @module
 */
import { type Figure, interval, type Report, table } from "./report.ts";

interface Line {
  readonly text: string;
  readonly sotto: string;
  /** Others' figures of the same unit, in the order of `OTHERS`; undefined: not compared. */
  readonly others: readonly (string | undefined)[];
  readonly digits: number;
}

const OTHERS = ["Bun.listen", "Go", "Caddy", "nginx", "haproxy"] as const;

function handshake(text: string, row: string): Line {
  return {
    text: `${text}, µs`,
    sotto: `bun: ${row}: sotto`,
    others: OTHERS.map((other) => `bun: ${row}: ${other}`),
    digits: 0,
  };
}

const LINES: readonly Line[] = [
  handshake("Handshake", "full none"),
  handshake("… and a request", "full get"),
  handshake("… resumed", "resumed get"),
  handshake("… X25519MLKEM768", "X25519MLKEM768 get"),
  handshake("… RSA-2048", "RSA-2048 get"),
  handshake("Handshake with ECH", "ECH accepted none"),
  handshake("… refused, stale key", "ECH stale key none"),
  {
    text: "Idle connection, kB",
    sotto: "bun: idle: sotto",
    others: ["bun: idle: native"],
    digits: 1,
  },
  {
    text: "Download, CPU s/GB",
    sotto: "bun: download: sotto",
    others: ["bun: download: Bun.listen"],
    digits: 2,
  },
  {
    text: "Upload, CPU s/GB",
    sotto: "bun: upload: sotto",
    others: ["bun: upload: Bun.listen"],
    digits: 2,
  },
  {
    text: "`forward`, µs a request",
    sotto: "forward: request: sotto",
    others: [undefined, undefined, undefined, undefined, "forward: request: haproxy"],
    digits: 1,
  },
];

/** Markdown: a table, the sentence, and where the figures are from. @param reports oldest first */
export function readmeTable(reports: readonly Report[]): string {
  const figures = new Map<string, Figure>();
  for (const report of reports) for (const figure of report.figures) figures.set(figure.id, figure);
  const cell = (id: string | undefined, digits: number): string => {
    const figure = id === undefined ? undefined : figures.get(id);
    return figure === undefined ? "" : figure.estimate.median.toFixed(digits);
  };
  const lines = LINES.filter(({ sotto }) => figures.has(sotto)).map((line) => [
    line.text,
    cell(line.sotto, line.digits),
    ...OTHERS.map((_, i) => cell(line.others[i], line.digits)),
  ]);
  return [
    table(["on Bun", "sotto", ...OTHERS], lines),
    sentence(figures),
    sources(reports),
  ].filter((part) => part !== "").join("\n\n");
}

/** What a user can repeat. */
function sentence(figures: ReadonlyMap<string, Figure>): string {
  const parts = ["Caddy", "Go", "nginx"].flatMap((other) => {
    const figure = figures.get(`bun: ECH accepted none: sotto ÷ plain ${other}`);
    return figure === undefined ? [] : [`${interval(figure.estimate, 2)} × one on ${other}`];
  });
  if (parts.length === 0) return "";
  return `A handshake with ECH here costs, beside a plain one without: ${parts.join(", ")}.`;
}

function sources(reports: readonly Report[]): string {
  return reports.map(({ bench, environment: { machine, versions, commit, date } }) => {
    const of = Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(", ");
    return `\`npm run bench -- ${bench}\`, ${date.slice(0, 10)}, sotto ${
      commit ?? "?"
    }, ${of}; ${machine}.`;
  }).join("\n");
}
