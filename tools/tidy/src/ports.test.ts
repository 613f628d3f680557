import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readText, trackedFiles } from './repository.ts';
import { typesFromAdapters } from './structure/adapter-types.ts';

describe('the ports of services', () => {
  const sources = trackedFiles().filter((file) => /^services\/[^/]+\/src\//.test(file));

  it('no file imports a type from adapters/, except those that compose a service', () => {
    assert.ok(sources.length > 100);
    assert.deepEqual(typesFromAdapters(sources, readText), []);
  });

  const planted = (file: string, text: string) => typesFromAdapters([`services/x/src/${file}`], () => text);

  it('a planted import of a type goes red, however it is written', () => {
    const adapter = "'./adapters/queue.ts'";
    const found = (text: string, name: string) =>
      assert.deepEqual(planted('relay.ts', text), [
        `services/x/src/relay.ts imports the type ${name} from ./adapters/queue.ts`,
      ]);
    found(`import type { Queue } from ${adapter};`, 'Queue');
    found(`import { open, type Queue as Port } from ${adapter};`, 'Queue');
    found(`import type * as queue from ${adapter};`, '*');
    found(`export type { Queue } from ${adapter};`, 'Queue');
    found(`export { type Queue } from ${adapter};`, 'Queue');
    found(`let queue: import(${adapter}).Queue;`, 'Queue');
  });

  it('a type from the adapters of another folder goes red too', () =>
    assert.equal(planted('http/app.ts', "import type { A } from '../jobs/adapters/a.ts';").length, 1));

  it('values, composing files, tests and adapters themselves may import from adapters/', () => {
    const type = "import type { Queue } from './adapters/queue.ts';";
    assert.deepEqual(planted('relay.ts', "import { openQueue } from './adapters/queue.ts';"), []);
    for (const file of ['service.ts', 'broker/compose.ts', 'main.ts', 'a.int.ts', 'testing.ts'])
      assert.deepEqual(planted(file, type), [], file);
    assert.deepEqual(planted('adapters/guard.ts', "import type { Queue } from './queue.ts';"), []);
  });
});
