/** Reads the markers of a JPEG file (ITU-T T.81, annex B), without decoding its scans. */
import type { FileHandle } from 'node:fs/promises';
import { exactly } from '../bytes.ts';
import { imageError } from '../errors.ts';

const marker = { startOfFrame0: 0xc0, endOfFrames: 0xcf, startOfScan: 0xda, endOfImage: 0xd9 } as const;
/** Markers in the range of frames that begin no frame: DHT, JPG and DAC. */
const noFrames: readonly number[] = [0xc4, 0xc8, 0xcc];
/** Baseline, extended and progressive, with Huffman or arithmetic coding. */
const framesRead: readonly number[] = [0xc0, 0xc1, 0xc2, 0xc9, 0xca];
const blockBytes = 1024 * 1024;

/** Markers without a length: TEM, restarts, and the zero behind a 0xff in a scan. */
function standsAlone(code: number): boolean {
  return code <= 0x01 || (code >= 0xd0 && code <= 0xd8);
}

/** Whether a marker begins a frame. */
export function isFrameMarker(code: number): boolean {
  return code >= marker.startOfFrame0 && code <= marker.endOfFrames && !noFrames.includes(code);
}

/**
 * Checks the frame header.
 * @returns the place of the first scan
 * @throws MeshError `image.unsupported_depth`, `image.unsupported_layout`, `image.damaged`,
 *   `image.truncated`
 */
export async function checkJpegFrame(file: FileHandle): Promise<number> {
  for (let at = 2; ;) {
    const head = await exactly(file, at, 2);
    if (head[0] !== 0xff) throw imageError('image.damaged', `no JPEG marker at byte ${at}`);
    const code = head[1]!;
    if (code === marker.startOfScan) return at;
    if (code === marker.endOfImage) throw imageError('image.damaged', 'a JPEG without a scan');
    if (code === 0xff) at += 1;
    else if (standsAlone(code)) at += 2;
    else {
      if (isFrameMarker(code)) await checkFrame(file, at, code);
      at += 2 + (await exactly(file, at + 2, 2)).readUInt16BE(0);
    }
  }
}

async function checkFrame(file: FileHandle, at: number, code: number): Promise<void> {
  if (!framesRead.includes(code))
    throw imageError(
      'image.unsupported_layout',
      `JPEG process ${code - marker.startOfFrame0}: lossless or hierarchical`,
    );
  const bits = (await exactly(file, at + 4, 1))[0];
  if (bits !== 8) throw imageError('image.unsupported_depth', `a JPEG of ${bits} bit: only 8 are supported`);
}

/**
 * Whether the end of the image follows its scans. Every scan is searched, because a file may
 * continue after its image, and a thumbnail has an end of its own.
 * @param from the place of the first scan
 */
export async function hasEndOfImage(file: FileHandle, from: number): Promise<boolean> {
  const block = Buffer.alloc(blockBytes);
  for (let at = from; ;) {
    const { bytesRead } = await file.read(block, 0, block.length, at);
    if (bytesRead < 2) return false;
    const found = nextSegment(block.subarray(0, bytesRead));
    if (found.code === marker.endOfImage) return true;
    at += found.at;
    if (found.code === undefined) continue;
    const length = Buffer.alloc(2);
    const read = await file.read(length, 0, 2, at + 2);
    if (read.bytesRead < 2) return false;
    at += 2 + length.readUInt16BE(0);
  }
}

/** The first marker that ends a scan; without one, `at` is where to read on. */
function nextSegment(bytes: Buffer): { at: number; code?: number } {
  for (let at = bytes.indexOf(0xff); at !== -1; at = bytes.indexOf(0xff, at)) {
    const code = bytes[at + 1];
    if (code === undefined) return { at };
    if (code !== 0xff && !standsAlone(code)) return { at, code };
    at += code === 0xff ? 1 : 2;
  }
  return { at: bytes.length };
}
