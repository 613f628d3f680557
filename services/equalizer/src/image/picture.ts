/** Draws an image before (left) and after (right) its equalization, each above its histogram. */
import { colourSpaceOf } from './decode.ts';
import { identify } from './identify.ts';
import { imageErrorOf, sharp } from './library.ts';

type Colour = readonly [red: number, green: number, blue: number];
interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

const panel = { width: 512, height: 384 };
const graphHeight = 160;
const gap = 16;
const bins = 256;
const paper: Colour = [255, 255, 255];
const ground: Colour = [236, 240, 244];
const ink: Colour = [39, 65, 95];
/** Pixels of larger images are skipped, not averaged, so that the histogram stays true. */
const countedSideMax = 4_096;

/** Width and height of the picture. */
export const pictureSize = { width: 2 * panel.width + 3 * gap, height: panel.height + graphHeight + 3 * gap };

/**
 * Writes the picture as a PNG.
 * @throws MeshError the codes of `identify`
 */
export async function drawBeforeAfter(before: string, after: string, out: string): Promise<void> {
  const canvas = new Canvas(pictureSize.width, pictureSize.height, paper);
  for (const [index, file] of [before, after].entries()) {
    const left = gap + index * (panel.width + gap);
    await identify(file);
    try {
      await drawImage(canvas, file, { left, top: gap, ...panel });
      const box = { left, top: 2 * gap + panel.height, width: panel.width, height: graphHeight };
      drawHistogram(canvas, await lumaCounts(file), box);
    } catch (error) {
      throw imageErrorOf(error);
    }
  }
  await sharp(canvas.pixels, { raw: { width: canvas.width, height: canvas.height, channels: 3 } })
    .png()
    .toFile(out);
}

/** Number of pixels of each of 256 lumas; for 16 bit, of the upper 8 bits. */
export async function lumaCounts(file: string): Promise<Uint32Array> {
  const { depth } = await identify(file);
  const side = countedSideMax;
  const luma = await sharp(file, { ignoreIcc: true, limitInputPixels: false })
    .resize({ width: side, height: side, fit: 'inside', withoutEnlargement: true, kernel: 'nearest' })
    .removeAlpha()
    .toColourspace(colourSpaceOf({ width: 1, height: 1, channels: 1, depth }))
    .raw({ depth: depth === 8 ? 'uchar' : 'ushort' })
    .toBuffer();
  const counts = new Uint32Array(bins);
  const samples = depth === 8 ? luma : new Uint16Array(luma.buffer, luma.byteOffset, luma.byteLength / 2);
  for (const sample of samples) {
    const bin = depth === 8 ? sample : sample >> 8;
    counts[bin] = (counts[bin] ?? 0) + 1;
  }
  return counts;
}

/** Draws an image as large as fits, centred, and turned by its orientation. */
async function drawImage(canvas: Canvas, file: string, box: Box): Promise<void> {
  canvas.fill(box, ground);
  const { data, info } = await sharp(file, { autoOrient: true, limitInputPixels: false })
    .resize({ width: box.width, height: box.height, fit: 'inside', withoutEnlargement: true })
    .flatten({ background: { r: ground[0], g: ground[1], b: ground[2] } })
    .toColourspace('srgb')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  const at = {
    left: box.left + Math.floor((box.width - info.width) / 2),
    top: box.top + Math.floor((box.height - info.height) / 2),
  };
  canvas.copy(data, { ...at, width: info.width, height: info.height });
}

/** Draws a histogram; its highest bar fills the box. */
function drawHistogram(canvas: Canvas, counts: Uint32Array, box: Box): void {
  canvas.fill(box, ground);
  const highest = Math.max(1, ...counts);
  const width = box.width / counts.length;
  for (const [bin, count] of counts.entries()) {
    // Every luma that occurs is visible.
    const height = count === 0 ? 0 : Math.max(1, Math.round((count / highest) * box.height));
    canvas.fill({ left: box.left + bin * width, top: box.top + box.height - height, width, height }, ink);
  }
}

/** A picture of 8-bit RGB pixels, row after row. */
class Canvas {
  readonly width: number;
  readonly height: number;
  readonly pixels: Buffer;

  constructor(width: number, height: number, colour: Colour) {
    this.width = width;
    this.height = height;
    this.pixels = Buffer.alloc(width * height * 3, Buffer.from(colour));
  }

  fill({ left, top, width, height }: Box, colour: Colour): void {
    const row = Buffer.alloc(width * 3, Buffer.from(colour));
    for (let y = top; y < top + height; y++) row.copy(this.pixels, (y * this.width + left) * 3);
  }

  copy(rgb: Buffer, { left, top, width, height }: Box): void {
    for (let y = 0; y < height; y++) {
      rgb.copy(this.pixels, ((top + y) * this.width + left) * 3, y * width * 3, (y + 1) * width * 3);
    }
  }
}
