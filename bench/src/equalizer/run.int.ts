import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, it } from 'node:test';
import { BenchDocument, documentIssues } from '@thermomesh/contracts';
import { createScope } from '../parts/scope.ts';
import { renderDocument } from '../view.ts';
import { smallestPlan } from './plan.ts';
import { runEqualizer } from './run.ts';

describe('the equalizer bench', () => {
  it(
    'the equalizer bench measures every arm on identical results and leaves no files',
    { timeout: 180_000 },
    async () => {
      const scope = createScope();
      const folders: string[] = [];
      try {
        const document = await runEqualizer({
          name: 'test',
          plan: smallestPlan,
          profileDir: undefined,
          scope,
          say: () => undefined,
          onFolder: (folder) => folders.push(folder),
        });
        assert.deepEqual(documentIssues(BenchDocument, document), []);
        const alone = ['vips hist_equal', 'one process, 1 thread', 'one process, 2 threads'];
        const mesh = ['mesh, 1 node', 'mesh, 2 nodes'];
        assert.deepEqual(
          document.arms.map(({ name }) => name),
          [
            ...[alone[0], 'Pillow', ...alone.slice(1), ...mesh].map(
              (arm) => `raw tiled TIFF 0.09 Mpx, ${arm}`,
            ),
            ...[...alone, ...mesh].map((arm) => `PNG 0.04 Mpx, ${arm}`),
          ],
        );
        assert.equal(document.targets.length, 3);
        assert.ok(document.targets.every(({ value }) => Number.isFinite(value)));
        assert.match(renderDocument(document), /Mpx\/s[^]*s upload/);
      } finally {
        await scope.end();
      }
      for (const folder of folders) assert.equal(existsSync(folder), false);
    },
  );
});
