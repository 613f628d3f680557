import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, it } from 'node:test';
import { BenchDocument, documentIssues } from '@thermomesh/contracts';
import { createScope } from '../parts/scope.ts';
import { renderDocument } from '../view.ts';
import { smallestPlan } from './plan.ts';
import { runBilling } from './run.ts';

describe('the billing bench', () => {
  it('the billing bench measures both designs and leaves no files behind', { timeout: 120_000 }, async () => {
    const scope = createScope();
    const folders: string[] = [];
    try {
      const document = await runBilling({
        name: 'test',
        plan: smallestPlan,
        profileDir: undefined,
        scope,
        say: () => undefined,
        onFolder: (folder) => folders.push(folder),
      });
      assert.deepEqual(documentIssues(BenchDocument, document), []);
      const names = document.arms.map(({ name }) => name);
      assert.deepEqual(
        names,
        ['payments, processor 5 ms', 'payments, processor 1 ms', 'replays'].flatMap((what) => [
          `billing, ${what}`,
          `one-transaction, ${what}`,
        ]),
      );
      assert.ok(document.arms.every(({ durable }) => durable));
      assert.equal(document.targets.length, 1);
      assert.ok(Number.isFinite(document.targets[0]?.value));
      assert.ok(document.accepted > 0);
      assert.match(renderDocument(document), /payments\/s[^]*replays\/s/);
    } finally {
      await scope.end();
    }
    for (const folder of folders) assert.equal(existsSync(folder), false);
  });
});
