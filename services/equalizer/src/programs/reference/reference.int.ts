import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { promisify } from 'node:util';
import { planEqualization } from '@thermomesh/equalization';
import { decode } from '../../image/decode.ts';
import { equalizeHere } from '../../image/testing/here.ts';
import { imageOf, noise, place, spoolPixels, type Place } from '../../image/testing/samples.ts';

const run = promisify(execFile);
const program = path.join(import.meta.dirname, 'main.ts');
let files: Place;
before(() => {
  files = place();
});
after(() => files[Symbol.dispose]());

it('the result of many chunks equals that of the whole image in one piece', async () => {
  const shape = { width: 61, height: 47, channels: 3, depth: 16 } as const;
  const file = files.at('in.png');
  await imageOf(shape, noise(shape, 7, 9_000))
    .png()
    .toFile(file);
  const out = files.at('out.tif');
  const words = ['--mode', 'per-channel', '--format', 'tiff', '--chunk-pixels', '130'];
  const { stdout } = await run(process.execPath, [program, file, out, ...words]);
  const said = JSON.parse(stdout) as { seconds: number; bytes: number };
  assert.equal(said.bytes, readFileSync(out).length);
  const plan = planEqualization({ ...shape, mode: 'per-channel' });
  const expected = await equalizeHere(file, files.at('here'), plan);
  await decode(out, files.at('theirs'));
  assert.ok(spoolPixels(files.at('theirs'), shape).equals(expected));
  assert.deepEqual(
    readdirSync(path.dirname(out)).filter((name) => name.startsWith('out')),
    ['out.tif'],
  );
});

it('an invalid image or option is reported on one line with exit code 1', async () => {
  const file = files.at('text.png');
  writeFileSync(file, 'no image at all');
  for (const [words, said] of [
    [[file, files.at('no.png')], /neither JPEG, PNG, WebP nor TIFF/],
    [[file, files.at('no.png'), '--threads', 'many'], /not a positive number/],
  ] as const) {
    await assert.rejects(
      run(process.execPath, [program, ...words]),
      (error: { code?: number; stderr?: string }) => {
        assert.equal(error.code, 1);
        assert.match(error.stderr ?? '', said);
        return true;
      },
    );
  }
});
