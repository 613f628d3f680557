import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { planEqualization } from '@thermomesh/equalization';
import { encode } from './encode.ts';
import { drawBeforeAfter, lumaCounts, pictureSize } from './picture.ts';
import { sharp } from './library.ts';
import { equalizeHere } from './testing/here.ts';
import { dimPhotograph, imageOf, place, type Place } from './testing/samples.ts';

let files: Place;
before(() => {
  files = place();
});
after(() => files[Symbol.dispose]());

/** The narrowest range of lumas that holds 98 % of the pixels. */
function rangeOf(counts: Uint32Array): number {
  const total = counts.reduce((sum, count) => sum + count, 0);
  let seen = 0;
  let [low, high] = [255, 0];
  for (const [bin, count] of counts.entries()) {
    seen += count;
    if (seen > total * 0.01) low = Math.min(low, bin);
    if (seen < total * 0.99) high = Math.max(high, bin);
  }
  return high - low;
}

describe('before and after', () => {
  for (const depth of [8, 16] as const) {
    it(`a dim photograph of ${depth} bit uses the whole range afterwards`, async () => {
      const shape = { width: 640, height: 420, channels: 3, depth } as const;
      const [dim, bright] = [files.at('dim.png'), files.at('bright.png')];
      await imageOf(shape, dimPhotograph(shape)).png().toFile(dim);
      await equalizeHere(dim, files.at('work'), planEqualization(shape));
      await encode(files.at('work.result'), bright, { format: 'png' });
      const [narrow, wide] = [rangeOf(await lumaCounts(dim)), rangeOf(await lumaCounts(bright))];
      assert.ok(narrow < 90, `the photograph is dim: ${narrow}`);
      assert.ok(wide > 220, `it is not afterwards: ${wide}`);
      const out = files.at('picture.png');
      await drawBeforeAfter(dim, bright, out);
      const { width, height } = await sharp(out).metadata();
      assert.deepEqual({ width, height }, pictureSize);
      const left = await meanOf(out, 100, 100);
      const right = await meanOf(out, 628, 100);
      assert.notEqual(left, right);
    });
  }

  it('a file that is not an image is refused', async () => {
    await assert.rejects(drawBeforeAfter(import.meta.filename, import.meta.filename, files.at('no.png')), {
      code: 'image.not_an_image',
    });
  });
});

async function meanOf(file: string, left: number, top: number): Promise<number> {
  const data = await sharp(file).extract({ left, top, width: 60, height: 60 }).raw().toBuffer();
  return data.reduce((sum, value) => sum + value, 0) / data.length;
}
