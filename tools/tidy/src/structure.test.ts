import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { layerOf } from '../boundaries.mjs';
import { repository, trackedFiles } from './repository.ts';
import { importsBelow, readImports, type ImportGraph } from './structure/imports.ts';
import { findCircles, layersOf } from './structure/rooms.ts';

/** A graph from `file → imported files`. */
function graphOf(imports: Record<string, string[]>): ImportGraph {
  return new Map(Object.entries(imports).map(([file, targets]) => [file, new Set(targets)]));
}

describe('the rooms of a package', () => {
  const tracked = trackedFiles();
  for (const folder of Object.keys(layerOf)) {
    it(`${folder} imports nothing upward and has no circle, types included`, () =>
      assert.deepEqual(findCircles(importsBelow(repository, folder, tracked)), []));
  }

  it('tools/mesh has at most seven layers', () => {
    const layers = layersOf(importsBelow(repository, 'tools/mesh', tracked));
    assert.ok(layers.length > 1 && layers.length <= 7, layers.map((rooms) => rooms.join(' ')).join('\n'));
  });
});

describe('the check of rooms', () => {
  it('an import of a type counts as much as one of a value', () => {
    const texts: Record<string, string> = {
      'a.ts': "import type { B } from './b.ts';",
      'b.ts': "export * from './a.ts';",
    };
    const graph = readImports(Object.keys(texts), (file) => texts[file] ?? '');
    assert.equal(findCircles(graph).length, 1);
  });

  it('two folders that import from each other go red, though no file does', () => {
    const graph = graphOf({
      'up/a.ts': ['down/b.ts'],
      'down/b.ts': [],
      'down/c.ts': ['up/d.ts'],
      'up/d.ts': [],
    });
    assert.deepEqual(findCircles(graph), [
      '.: up → down (up/a.ts imports down/b.ts), down → up (down/c.ts imports up/d.ts)',
    ]);
  });

  it('a circle deep inside a folder goes red', () => {
    const graph = graphOf({ 'x/y/a.ts': ['x/z.ts'], 'x/z.ts': ['x/y/a.ts'] });
    assert.match(findCircles(graph).join(), /^x: /);
  });

  it('layers are counted along the longest way down', () => {
    const graph = graphOf({ 'main.ts': ['a/x.ts', 'b/y.ts'], 'a/x.ts': ['b/y.ts'], 'b/y.ts': [] });
    assert.deepEqual(layersOf(graph), [['main.ts'], ['a'], ['b']]);
  });

  it('tests may import from everywhere', () => {
    const graph = readImports(['a.test.ts', 'testing/b.ts', 'c.ts'], () => "import './c.ts';");
    assert.deepEqual([...graph.keys()], ['c.ts']);
  });
});
