import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ImageFacts } from '../image/index.ts';
import { chunkPixelsOf, decodedShape, parametersOf, planImage, readRequest } from './request.ts';

const facts: ImageFacts = {
  format: 'png',
  fileBytes: 100,
  width: 20,
  height: 10,
  channels: 3,
  depth: 8,
  access: 'rows',
  pages: 1,
  page: 0,
  orientation: 1,
  palette: false,
  interlaced: false,
  metadata: { exif: false, icc: false, xmp: false, iptc: false },
};
const plan = (request: Parameters<typeof planImage>[2], over: Partial<ImageFacts> = {}) =>
  planImage({ ...facts, ...over }, decodedShape({ ...facts, ...over }), request, 1_000);

describe('what a caller may ask for', () => {
  it('a request survives the parameters of a job unchanged', () => {
    const asked = readRequest({ mode: 'grey', definition: 'vips', format: 'tiff', page: '3', quality: '80' });
    assert.deepEqual(asked, { mode: 'grey', definition: 'vips', format: 'tiff', page: 3, quality: 80 });
    assert.deepEqual(readRequest(parametersOf(asked)), asked);
    assert.deepEqual(readRequest({}), {});
  });

  it('an invalid request is refused with all of its issues at once', () => {
    assert.throws(
      () => readRequest({ mode: 'loud', page: '-1', quality: '1e1', constructor: 'x', clever: 'y' }),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, 'request.invalid');
        for (const word of ['mode', 'page', 'quality', '"constructor"', '"clever"'])
          assert.ok(error.message.includes(word), word);
        return true;
      },
    );
    assert.throws(() => readRequest({ mode: 'clahe', definition: 'vips' }), { code: 'request.invalid' });
  });
});

describe('what is done to one image', () => {
  it('a request without options follows the image', () => {
    const { equalization, output } = plan({});
    assert.equal(equalization?.mode, 'luminance');
    assert.equal(equalization?.definition, 'opencv');
    assert.deepEqual(output, { format: 'png' });
    assert.equal(plan({}, { depth: 16 }).equalization?.definition, 'textbook');
    assert.equal(plan({ mode: 'clahe' }).equalization, null);
  });

  it('a result that its format cannot hold is refused before any work', () => {
    assert.throws(() => plan({ definition: 'opencv' }, { depth: 16 }), { code: 'equalization.unsupported' });
    assert.throws(() => plan({ format: 'jpeg' }, { channels: 4 }), { code: 'image.unencodable' });
    assert.throws(() => plan({ format: 'jpeg' }, { depth: 16 }), { code: 'image.unencodable' });
    assert.throws(() => plan({ format: 'webp' }, { width: 2_000 }), { code: 'image.unencodable' });
    // Grey has no alpha left to lose, but the alpha of a grey image is kept.
    assert.throws(() => plan({ format: 'jpeg', mode: 'grey' }, { channels: 4 }), {
      code: 'image.unencodable',
    });
  });

  it('chunks of tiles that are read in place are cut between rows of tiles', () => {
    const tiff = { big: false, compression: 1, bare: true, tile: { width: 128, height: 64 } };
    const pixels = (rows: number, more: Partial<ImageFacts> = {}) => {
      const large: ImageFacts = { ...facts, width: 1_000, height: 1_000, format: 'tiff', tiff, ...more };
      return chunkPixelsOf(large, plan({}, large), rows * 1_000 + 5) / 1_000;
    };
    assert.equal(pixels(200), 192);
    assert.equal(pixels(64), 64);
    assert.equal(pixels(63), 63.005, 'less than a tile: as it was asked for');
    assert.equal(pixels(200, { tiff: { ...tiff, bare: false } }), 200, 'decoded ones have rows');
  });
});
