import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { crashPoints } from '@thermomesh/runtime';
import { layerOf } from '../boundaries.mjs';
import { mutants } from './mutants/catalogue.ts';

const repository = path.resolve(import.meta.dirname, '../../..');
const tracked = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: repository,
  encoding: 'utf8',
})
  .split('\n')
  .filter((file) => file !== '' && existsSync(path.join(repository, file)));
const read = (file: string) => readFileSync(path.join(repository, file), 'utf8');
const sources = tracked.filter((file) => /\.(ts|mjs|sql)$/.test(file) && !file.includes('/tidy/'));

/** `file:line` of every line that matches. */
function find(files: string[], pattern: RegExp): string[] {
  return files.flatMap((file) =>
    read(file)
      .split('\n')
      .flatMap((line, index) => (pattern.test(line) ? [`${file}:${index + 1}`] : [])),
  );
}

describe('the house', () => {
  it('leaves nothing for later', () => assert.deepEqual(find(sources, /\b(TODO|FIXME|XXX|HACK)\b/), []));

  it('has no test that is skipped, narrowed or empty', () =>
    assert.deepEqual(find(sources, /\b(it|test|describe|suite)\.(only|skip|todo)\(|\bskip: *true/), []));

  it('reads the environment in config.ts alone', () => {
    const programs = sources.filter(
      (file) => /^(services|apps|libs)\//.test(file) && !/(\/config\.ts|\.(test|int)\.ts)$/.test(file),
    );
    assert.deepEqual(find(programs, /process\.env/), []);
  });

  it('names no package registry by its address', () =>
    assert.deepEqual(
      find(
        tracked.filter((file) => !file.includes('/tidy/')),
        /https?:\/\/[a-z0-9.-]*(npmjs|maven|debian|nodesource)[a-z0-9.-]*/,
      ),
      [],
    ));

  it('every package explains itself', () =>
    assert.deepEqual(
      Object.keys(layerOf).filter((folder) => !existsSync(path.join(repository, folder, 'README.md'))),
      [],
    ));

  it('every nx package has one version', () => {
    const { devDependencies } = JSON.parse(read('package.json')) as {
      devDependencies: Record<string, string>;
    };
    const versions = Object.entries(devDependencies).filter(
      ([name]) => name === 'nx' || name.startsWith('@nx/'),
    );
    assert.equal(new Set(versions.map(([, version]) => version)).size, 1);
  });

  it('every mutant’s text still stands in its file, once', () => {
    for (const { name, file, find: text, suites } of mutants) {
      assert.equal(read(file).split(text).length - 1, 1, name);
      for (const suite of suites) assert.ok(tracked.includes(suite), `${name}: ${suite}`);
    }
  });

  it('every crash point is hit in the code and in a test of real processes', () => {
    const code = sources
      .filter((file) => file.startsWith('services/') && !/\.(test|int)\.ts$/.test(file))
      .map(read)
      .join('\n');
    const tests = sources
      .filter((file) => file.startsWith('e2e/') || file.endsWith('.int.ts'))
      .map(read)
      .join('\n');
    for (const point of crashPoints) {
      assert.ok(code.includes(`'${point}'`), `${point} is nowhere in the code`);
      assert.ok(tests.includes(`'${point}'`), `${point} is hit by no test`);
    }
  });
});
