import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readText, trackedFiles } from './repository.ts';
import { compareState, readDocumentedState } from './state/documented.ts';
import { findState } from './state/found.ts';

const sources = trackedFiles().filter(
  (file) => !/\.(test|int|e2e)\.ts$|\/(testing|conformance)(\/|\.ts$)|^tools\/tidy\//.test(file),
);
const documented = readDocumentedState(readText('docs/state-ownership.md'));

/** What the comparison finds when one more source file exists. */
function withSource(file: string, text: string): string[] {
  const read = (each: string) => (each === file ? text : readText(each));
  return compareState(documented, findState([...sources, file], read));
}

describe('the owners of state', () => {
  it('every table, topic, znode, folder and key of the code has one documented owner', () =>
    assert.deepEqual(compareState(documented, findState(sources, readText)), []));

  it('a planted second writer of a table goes red', () =>
    assert.match(
      withSource('services/billing/src/planted.ts', 'await sql(`DELETE FROM readings`)').join(),
      /table readings is services\/analytics's, and services\/billing\/src\/planted.ts:1 writes it too/,
    ));

  it('a planted second writer of a topic or a znode goes red', () => {
    const planted = 'send(`${topicPrefix}.tasks`); create(`${root}/jobs/7`)';
    const problems = withSource('services/gateway/src/planted.ts', planted);
    assert.equal(problems.length, 2);
  });

  it('planted state that the table does not know goes red', () => {
    const sql = withSource('services/billing/migrations/999.do.sql', 'CREATE TABLE secrets (id int);');
    assert.match(sql.join(), /table secrets .* is not documented/);
    const folder = withSource('tools/mesh/src/planted.ts', "inside('attic')");
    assert.match(folder.join(), /folder attic .* is not documented/);
  });

  it('a row without code and a name in two rows go red', () => {
    const found = findState(sources, readText);
    const row = { kind: 'table' as const, name: 'readings', owner: 'services/analytics' };
    assert.match(compareState([...documented, row], found).join(), /readings is documented twice/);
    const stale = { ...row, name: 'attic' };
    assert.match(
      compareState([...documented, stale], found).join(),
      /attic is documented and not in the code/,
    );
  });
});
