import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { encode, type OutputOptions } from './encode.ts';
import { createSpool } from './spool/spool.ts';
import { place } from './testing/samples.ts';

const run = promisify(execFile);
const aboveIdleMiBMax = 150;
/** 216 MB of pixels: more than the limit, if anything held them all. */
const shape = { width: 9_000, height: 8_000, channels: 3, depth: 8 } as const;

const bare = { big: true, compression: 1, bare: true } as const;
const outputs: [string, OutputOptions, string?][] = [
  [
    'tiled-tiff',
    { format: 'tiff', tiff: { big: false, compression: 5, bare: false, tile: { width: 256, height: 256 } } },
  ],
  ['strip-bigtiff', { format: 'tiff', tiff: bare }],
  ['strip-bigtiff-in-place', { format: 'tiff', tiff: bare }, 'in-place'],
  [
    'tiled-bigtiff-in-place',
    { format: 'tiff', tiff: { ...bare, tile: { width: 128, height: 128 } } },
    'in-place',
  ],
  ['png', { format: 'png' }],
];

describe('memory of a large image', { skip: process.platform === 'linux' ? false : 'reads /proc' }, () => {
  for (const [name, output, ...how] of outputs) {
    it(`a large image as ${name} needs at most ${aboveIdleMiBMax} MiB above idle`, async () => {
      using files = place();
      await createSpool(files.at('sparse'), shape, { orientation: 1 });
      await encode(files.at('sparse'), files.at('in'), output);
      const child = path.join(import.meta.dirname, 'testing', 'memory-child.ts');
      const { stdout } = await run(
        process.execPath,
        [child, files.at('in'), path.dirname(files.at('in')), ...how.filter((word) => word !== undefined)],
        {
          env: { ...process.env, MALLOC_ARENA_MAX: '2' },
        },
      );
      const { idleMiB, peakMiB } = JSON.parse(stdout) as { idleMiB: number; peakMiB: number };
      const above = Math.round(peakMiB - idleMiB);
      assert.ok(above <= aboveIdleMiBMax, `${above} MiB above ${Math.round(idleMiB)}`);
      console.log(`  ${name}: ${above} MiB above idle (${Math.round(idleMiB)} MiB)`);
    });
  }
});
