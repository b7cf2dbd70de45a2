/**
 * Reads a picture, as far as browsers write them: 8 bits a channel, RGB or RGBA, not interlaced (PNG, ISO/IEC 15948).
 * @module
 */
import { crc32, inflateSync } from "node:zlib";

export interface Picture {
  readonly width: number;
  readonly height: number;
  /** `0xrrggbb`, row by row; transparency is left out. */
  readonly pixels: Uint32Array;
}

/** @throws {Error} it is no such picture, or not whole */
export function decodePng(file: Buffer): Picture {
  if (!file.subarray(0, 8).equals(SIGNATURE)) throw new Error("no PNG");
  let header: Buffer | undefined;
  let ended = false;
  const parts: Buffer[] = [];
  for (let at = 8; at < file.length && !ended;) {
    const length = file.readUInt32BE(at);
    const type = file.toString("latin1", at + 4, at + 8);
    const end = at + 8 + length;
    if (crc32(file.subarray(at + 4, end)) !== file.readUInt32BE(end)) {
      throw new Error(`${type} is damaged`);
    }
    const data = file.subarray(at + 8, end);
    if (type === "IHDR") header = data;
    else if (type === "IDAT") parts.push(data);
    else if (type === "IEND") ended = true;
    at = end + 4;
  }
  if (header === undefined || !ended) throw new Error("not whole");
  const [width, height] = [header.readUInt32BE(0), header.readUInt32BE(4)];
  const [depth, colourType, , , interlace] = header.subarray(8);
  const channels = colourType === 2 ? 3 : colourType === 6 ? 4 : undefined;
  if (depth !== 8 || channels === undefined || interlace !== 0) throw new Error("of another kind");
  const rows = inflateSync(Buffer.concat(parts));
  const rowLength = width * channels;
  if (rows.length !== height * (1 + rowLength)) throw new Error("of another size than it says");
  const pixels = new Uint32Array(width * height);
  let above: Uint8Array = new Uint8Array(rowLength);
  for (let y = 0; y < height; y++) {
    const at = y * (1 + rowLength);
    const row = rows.subarray(at + 1, at + 1 + rowLength);
    unfilter(rows[at]!, row, above, channels);
    for (let x = 0; x < width; x++) pixels[y * width + x] = row.readUIntBE(x * channels, 3);
    above = row;
  }
  return { width, height, pixels };
}

const SIGNATURE = Buffer.from("89504e470d0a1a0a", "hex");

/** In place: each byte was written as the difference to what its neighbours foretell. */
function unfilter(filter: number, row: Uint8Array, above: Uint8Array, channels: number): void {
  for (let i = 0; i < row.length; i++) {
    const left = i < channels ? 0 : row[i - channels]!;
    const up = above[i]!;
    const corner = i < channels ? 0 : above[i - channels]!;
    row[i]! += foretold(filter, left, up, corner);
  }
}

function foretold(filter: number, left: number, up: number, corner: number): number {
  switch (filter) {
    case 0:
      return 0;
    case 1:
      return left;
    case 2:
      return up;
    case 3:
      return (left + up) >> 1;
    case 4: {
      const [toLeft, toUp, toCorner] = [up - corner, left - corner, left + up - 2 * corner]
        .map(Math.abs);
      return toLeft! <= toUp! && toLeft! <= toCorner! ? left : toUp! <= toCorner! ? up : corner;
    }
    default:
      throw new Error(`filter ${filter} is unknown`);
  }
}
