import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, it } from 'node:test';
import { BenchDocument, documentIssues } from '@thermomesh/contracts';
import { createScope } from '../parts/scope.ts';
import { renderDocument } from '../view.ts';
import { sections, smallestPlan } from './plan.ts';
import { runIngest } from './run.ts';

describe('the ingest bench', () => {
  it('the ingest bench measures every arm and leaves no files behind', { timeout: 120_000 }, async () => {
    const scope = createScope();
    const said: string[] = [];
    const folders: string[] = [];
    try {
      const options = { name: 'test', plan: smallestPlan, only: sections, profileDir: undefined, scope };
      const document = await runIngest({
        ...options,
        say: (line) => said.push(line),
        onFolder: (folder) => folders.push(folder),
      });
      assert.deepEqual(documentIssues(BenchDocument, document), []);
      const names = document.arms.map(({ name }) => name);
      for (const part of [
        'durable publish, b1',
        'stock Aedes in memory, b20',
        'end to end, b1',
        'naive',
        'PUBACK',
        'drain of 400',
        'failover after kill -9',
      ]) {
        assert.ok(
          names.some((name) => name.startsWith(part)),
          `${part} in ${names.join('; ')}`,
        );
      }
      assert.equal(document.arms.find(({ name }) => name.startsWith('stock'))?.durable, false);
      assert.ok(document.targets.length >= 10);
      for (const { name, value } of document.targets) assert.ok(Number.isFinite(value), name);
      assert.match(renderDocument(document), /PostgreSQL .* \(.*fsync=on/);
      assert.ok(said.length > 0);
    } finally {
      await scope.end();
    }
    for (const folder of folders) assert.equal(existsSync(folder), false);
  });
});
