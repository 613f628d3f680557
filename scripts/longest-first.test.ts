import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import path from 'node:path';
import { it } from 'node:test';
import { longestFirst, slow } from './longest-first.mjs';

const repository = path.resolve(import.meta.dirname, '..');

it('test files that take longest run first, the others by name', () => {
  const files = ['a/zk.e2e.ts', 'a/cli.e2e.ts', 'b/billing.e2e.ts', 'a/partition.e2e.ts'];
  assert.deepEqual(longestFirst(files), [
    ...['a/partition.e2e.ts', 'a/cli.e2e.ts'],
    ...['a/zk.e2e.ts', 'b/billing.e2e.ts'],
  ]);
});

it('every file that is known to take long exists', () => {
  const names = globSync('{libs,services,apps,tools,e2e,bench}/**/src/**/*.{int,e2e}.ts', {
    cwd: repository,
    exclude: (name) => name === 'node_modules',
  }).map((file) => path.basename(file, '.ts'));
  assert.deepEqual(
    slow.filter((name) => !names.includes(name)),
    [],
  );
});
