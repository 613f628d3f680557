import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { MeshError } from '@thermomesh/runtime';
import { until } from '@thermomesh/testing';
import { imageOf, noise } from '../image/testing/samples.ts';
import type { SpoolShape } from '../image/index.ts';
import { bound, formOf, openNode, openWorld, problemOf, rawForm, rawRequest } from './testing.ts';
import type { Node, World } from './testing.ts';

let world: World;
let own: Node;
let png: Buffer;

const image = (shape: Partial<SpoolShape> = {}) => {
  const whole: SpoolShape = { width: 40, height: 30, channels: 3, depth: 8, ...shape };
  return imageOf(whole, noise(whole));
};

before(async () => {
  world = await openWorld();
  own = await openNode(world);
  png = await image().png().toBuffer();
});
after(async () => {
  await own.close();
  await world.end();
});

const fieldFile = (name: string) => readFileSync(new URL(`../image/testing/field/${name}`, import.meta.url));

const post = async (
  form: FormData | string,
  { at = own, ...init }: { at?: Node; key?: string; headers?: Record<string, string> } = {},
) => at.ask('/v1/jobs', { method: 'POST', body: form, ...init });

async function assertNothingLeft(at: Node): Promise<void> {
  assert.deepEqual(await at.jobIds(), []);
  await until('the blobs to go', () => at.files().length === 0);
}

const refused: [string, number, string, () => Promise<FormData>][] = [
  ['text', 415, 'image.not_an_image', async () => formOf(Buffer.from('GIF89a, or so it says'))],
  ['an empty file', 415, 'image.not_an_image', async () => formOf(Buffer.alloc(0))],
  ['a truncated PNG', 422, 'image.truncated', async () => formOf(png.subarray(0, 30))],
  [
    'a truncated TIFF',
    422,
    'image.truncated',
    async () => formOf((await image().tiff({ compression: 'none' }).toBuffer()).subarray(0, 900)),
  ],
  [
    'too many pixels',
    413,
    'image.pixels_limit',
    async () => formOf(await image({ width: 1_000, height: 101 }).png().toBuffer()),
  ],
  [
    'too many pixels for what must be in memory',
    413,
    'image.pixels_limit',
    async () => formOf(await image({ width: 210, height: 100 }).webp().toBuffer()),
  ],
  [
    'a JPEG without its end',
    422,
    'image.truncated',
    async () => formOf((await image().jpeg().toBuffer()).subarray(0, -2)),
  ],
  [
    'a plane for each colour, in tiles',
    422,
    'image.unsupported_layout',
    async () => formOf(fieldFile('planar-tiles.tif')),
  ],
  ['YCbCr without JPEG', 422, 'image.unsupported_colour', async () => formOf(fieldFile('ycbcr.tif'))],
  ['a float image', 422, 'image.unsupported_depth', async () => formOf(floatTiff())],
  [
    'a page that is not there',
    422,
    'image.no_such_page',
    async () => formOf(await image().tiff().toBuffer(), { page: '3' }),
  ],
  ['an unknown mode', 400, 'request.invalid', async () => formOf(png, { mode: 'loud' })],
  ['an unknown definition', 400, 'request.invalid', async () => formOf(png, { definition: 'gimp' })],
  ['an unknown field', 400, 'request.invalid', async () => formOf(png, { chunk_pixels: '1' })],
  ['a field for a prototype', 400, 'request.invalid', async () => formOf(png, { constructor: '1' })],
  ['a field that is too long', 400, 'request.invalid', async () => formOf(png, { mode: 'x'.repeat(2_000) })],
  [
    'a definition without that depth',
    422,
    'equalization.unsupported',
    async () => formOf(await image({ depth: 16 }).png().toBuffer(), { definition: 'opencv' }),
  ],
  [
    'a format without that depth',
    422,
    'image.unencodable',
    async () => formOf(await image({ depth: 16 }).png().toBuffer(), { format: 'jpeg' }),
  ],
  [
    'a local mode without that depth',
    422,
    'image.unsupported_depth',
    async () => formOf(await image({ depth: 16 }).png().toBuffer(), { mode: 'clahe' }),
  ],
  [
    'a local mode for so many pixels',
    413,
    'image.pixels_limit',
    async () => formOf(await image({ width: 210, height: 100 }).png().toBuffer(), { mode: 'clahe' }),
  ],
  ['no file', 400, 'upload.no_file', async () => formOf(null, { mode: 'grey' })],
  ['an empty form', 400, 'upload.no_file', async () => new FormData()],
  [
    'two files',
    400,
    'upload.two_files',
    async () => {
      const form = formOf(png);
      form.append('file', new Blob([Uint8Array.from(png)]), 'b.png');
      return form;
    },
  ],
  [
    'a file by another name',
    400,
    'upload.unknown_file',
    async () => {
      const form = new FormData();
      form.append('picture', new Blob([Uint8Array.from(png)]), 'a.png');
      return form;
    },
  ],
  [
    'a field twice',
    400,
    'request.invalid',
    async () => {
      const form = formOf(png, { mode: 'grey' });
      form.append('mode', 'luminance');
      return form;
    },
  ],
  [
    'a mode behind the image that does not exist',
    400,
    'request.invalid',
    async () => {
      const form = formOf(png);
      form.append('mode', 'loud');
      return form;
    },
  ],
];
describe('refused uploads', () => {
  for (const [what, status, code, form] of refused)
    it(`${what} is refused and leaves nothing`, async () => {
      assert.equal(await problemOf(await post(await form(), { at: own }), status), code);
      await assertNothingLeft(own);
    });

  it('a request that is not a form is refused and leaves nothing behind', async () => {
    const headers = { 'content-type': 'application/json' };
    assert.equal(await problemOf(await post('{}', { at: own, headers }), 415), 'upload.not_multipart');
    const cut = { 'content-type': 'multipart/form-data; boundary=b' };
    const half = '--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n\x89PNG';
    assert.equal(await problemOf(await post(half, { at: own, headers: cut }), 400), 'upload.malformed');
    assert.equal(
      await problemOf(await post(half, { at: own, headers: { 'content-type': 'multipart/form-data' } }), 400),
      'upload.malformed',
    );
    await assertNothingLeft(own);
  });

  it('an upload above the size limit is refused, and its sender learns why', async () => {
    const small = await openNode(world, { limits: { uploadBytesMax: 50_000 } });
    const large = await image({ width: 250, height: 250 }).png({ compressionLevel: 0 }).toBuffer();
    assert.ok(large.length > 150_000);
    assert.equal(await problemOf(await post(formOf(large), { at: small }), 413), 'image.bytes_limit');
    await assertNothingLeft(small);
    await small.close();
  });

  it('an upload whose sender disconnects leaves nothing behind', async () => {
    const body = rawForm(png);
    const request = rawRequest(world, own, { 'content-length': String(body.length) });
    request.on('error', () => undefined);
    request.write(body.subarray(0, 500));
    await until('the first bytes', () => own.files().some((name) => name.endsWith('blob')));
    request.destroy();
    await assertNothingLeft(own);
    const refusals = await own.metrics.registry.metrics();
    await until('the count', async () =>
      (await own.metrics.registry.metrics()).includes('outcome="upload.cut"'),
    );
    assert.ok(!refusals.includes('outcome="failed"'));
  });

  it('a node without space or threads answers 503 with Retry-After', async () => {
    for (const code of ['worker.queue_full', 'blob.no_space']) {
      const fault = new MeshError(code, `in ${world.folder}`, { retriable: true });
      const failing = async () => {
        throw fault;
      };
      const full = await openNode(world, (_jobs, blobs) =>
        code.startsWith('worker')
          ? { workers: { run: failing } }
          : {
              blobs: Object.assign(Object.create(blobs) as typeof blobs, bound(blobs), {
                createFromStream: failing,
              }),
            },
      );
      const response = await post(formOf(png), { at: full });
      assert.equal(response.headers.get('retry-after'), '2');
      assert.equal(await problemOf(response, 503), code);
      await assertNothingLeft(full);
      await full.close();
    }
  });
});

/** A grey TIFF of 2 × 2 samples of 32 bit, floating point. */
function floatTiff(): Buffer {
  const entries = [
    [256, 2],
    [257, 2],
    [258, 32],
    [259, 1],
    [262, 1],
    [273, 134],
    [277, 1],
    [278, 2],
    [279, 16],
    [339, 3],
  ];
  const bytes = Buffer.alloc(150);
  bytes.write('II*\0', 'latin1');
  bytes.writeUInt32LE(8, 4);
  bytes.writeUInt16LE(entries.length, 8);
  for (const [at, [tag = 0, value = 0]] of entries.entries()) {
    const offset = 10 + at * 12;
    // Type 4 is a 32-bit number.
    bytes.writeUInt16LE(tag, offset);
    bytes.writeUInt16LE(4, offset + 2);
    bytes.writeUInt32LE(1, offset + 4);
    bytes.writeUInt32LE(value, offset + 8);
  }
  return bytes;
}
