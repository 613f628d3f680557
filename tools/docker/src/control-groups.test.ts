import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { it } from 'node:test';
import { groupsNamed } from './control-groups.ts';

it('the groups of an engine are found at any depth, the innermost first', (t) => {
  const root = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-groups-'));
  t.after(() => rmSync(root, { recursive: true }));
  for (const each of ['blkio/mesh-1/buildkit/b', 'memory/session/own/mesh-1/c', 'memory/mesh-2', 'pids'])
    mkdirSync(path.join(root, each), { recursive: true });
  const found = groupsNamed('mesh-1', root).map((group) => path.relative(root, group));
  assert.deepEqual(found, [
    ...['blkio/mesh-1/buildkit/b', 'blkio/mesh-1/buildkit', 'blkio/mesh-1'],
    ...['memory/session/own/mesh-1/c', 'memory/session/own/mesh-1'],
  ]);
});

it('a machine without control groups has none', () => assert.deepEqual(groupsNamed('mesh', '/nowhere'), []));
