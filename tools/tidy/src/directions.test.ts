import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { homeOf, layerOf, mayImport, offence } from '../boundaries.mjs';

const repository = path.resolve(import.meta.dirname, '../../..');

describe('import directions', () => {
  it('every package has a layer', () => {
    const folders = ['libs', 'services', 'apps', 'tools'].flatMap((root) =>
      readdirSync(path.join(repository, root))
        .map((name) => `${root}/${name}`)
        .filter((folder) => existsSync(path.join(repository, folder, 'package.json'))),
    );
    assert.deepEqual(Object.keys(layerOf).sort(), [...folders, 'e2e', 'bench'].sort());
  });

  it('each forbidden direction goes red, each allowed one does not', () => {
    for (const [from, fromLayer] of Object.entries(layerOf)) {
      for (const [to, toLayer] of Object.entries(layerOf)) {
        if (from === to) continue;
        const found = offence(`${from}/src/x.ts`, `@thermomesh/${path.basename(to)}`);
        assert.equal(
          found === undefined,
          mayImport[fromLayer]?.includes(toLayer),
          `${from} → ${to}: ${found}`,
        );
      }
    }
  });

  it('services never import services, and no package imports another by path', () => {
    assert.match(offence('services/gateway/src/main.ts', '@thermomesh/analytics') ?? '', /may not import/);
    assert.match(offence('services/gateway/src/main.ts', '../../analytics/src/main.ts') ?? '', /by its name/);
    assert.equal(offence('services/gateway/src/http/app.ts', '../config.ts'), undefined);
  });

  it('third-party clients are imported at home only', () => {
    for (const [client, homes] of Object.entries(homeOf)) {
      assert.match(offence('services/analytics/src/core/x.ts', client) ?? '', /only/);
      for (const home of homes) assert.equal(offence(`${home}x.ts`, client), undefined);
    }
  });
});
