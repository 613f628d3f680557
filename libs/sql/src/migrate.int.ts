import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { sqlPatience, testDatabase, type TestDatabase } from '@thermomesh/servers';
import { migrate } from './migrate.ts';
import { createPool, openSession, type SqlPool } from './pool.ts';
import { SqlUnavailableError } from './errors.ts';

let database: TestDatabase;
let pool: SqlPool;
let folder: string;

const files: Record<string, string> = {
  '001.do.one.sql': 'CREATE TABLE one (n int); INSERT INTO one VALUES (1);',
  '001.undo.one.sql': 'DROP TABLE one;',
  '002.do.two.sql': 'CREATE TABLE two (n int);',
  '002.undo.two.sql': 'DROP TABLE two;',
};

before(async () => {
  database = await testDatabase();
  pool = createPool({ ...sqlPatience, url: database.url, applicationName: 'test' });
});
after(async () => {
  await pool.close();
  await database.drop();
});
beforeEach(async () => {
  await pool.query('DROP TABLE IF EXISTS one, two, versions');
  folder = mkdtempSync(path.join(os.tmpdir(), 'migrations-'));
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(folder, name), text);
});
afterEach(() => rmSync(folder, { recursive: true }));

const run = (more: { to?: string } = {}) =>
  migrate({ url: database.url, folder, table: 'versions', ...more });

describe('migrations', () => {
  it('each migration runs once, even if several processes start at the same time', async () => {
    const answers = await Promise.all([run(), run(), run()]);
    assert.deepEqual(answers.flat().sort(), ['001.do.one.sql', '002.do.two.sql']);
    assert.deepEqual(await pool.query('SELECT count(*) AS n FROM one'), [{ n: 1 }]);
    assert.deepEqual(await run(), []);
  });

  it('a migration that fails leaves the former version intact', async () => {
    writeFileSync(path.join(folder, '002.do.two.sql'), 'CREATE TABLE two (n int); SELECT 1/0;');
    await assert.rejects(run(), /division by zero/);
    assert.deepEqual(await pool.query(`SELECT to_regclass('one') AS one, to_regclass('two') AS two`), [
      { one: null, two: null },
    ]);
    writeFileSync(path.join(folder, '002.do.two.sql'), files['002.do.two.sql']!);
    assert.equal((await run()).length, 2);
  });

  it('migrations can be undone, and a database newer than the program is refused', async () => {
    await run();
    assert.deepEqual(await run({ to: '1' }), ['002.undo.two.sql']);
    await run();
    rmSync(path.join(folder, '002.do.two.sql'));
    rmSync(path.join(folder, '002.undo.two.sql'));
    await assert.rejects(run(), { code: 'sql.schema_too_new' });
  });
});

describe('a migration of a database in use', () => {
  const preparation = `
    ALTER TABLE one ADD COLUMN IF NOT EXISTS m int;
    DROP INDEX CONCURRENTLY IF EXISTS one_by_m;
    CREATE UNIQUE INDEX CONCURRENTLY one_by_m ON one (m);`;
  const using = 'ALTER TABLE one ADD COLUMN IF NOT EXISTS m int; CREATE TABLE two (n int);';
  beforeEach(() => mkdirSync(path.join(folder, 'online')));
  const prepare = (text: string) => writeFileSync(path.join(folder, 'online', '002.two.sql'), text);

  it('indexes are built while others write, and a waiting process is no obstacle', async () => {
    await run({ to: '1' });
    prepare(preparation);
    writeFileSync(path.join(folder, '002.do.two.sql'), using);
    const answers = await Promise.all([run(), run(), run()]);
    assert.deepEqual(answers.flat(), ['002.do.two.sql']);
    const valid = `SELECT indisvalid FROM pg_index WHERE indexrelid = 'one_by_m'::regclass`;
    assert.deepEqual(await pool.query(valid), [{ indisvalid: true }]);
  });

  it('a preparation that was interrupted is completed by the next run', async () => {
    await run({ to: '1' });
    await pool.query('INSERT INTO one VALUES (1)');
    writeFileSync(path.join(folder, '002.do.two.sql'), using);
    // The two rows have the same value, so the first build fails and leaves an invalid index.
    prepare(preparation.replace('int;', 'int DEFAULT 5;'));
    await assert.rejects(run(), /could not create unique index/);
    await pool.query('DELETE FROM one WHERE ctid = (SELECT min(ctid) FROM one)');
    assert.deepEqual(await run(), ['002.do.two.sql']);
    await pool.query('INSERT INTO one VALUES (1, 6)');
    await assert.rejects(pool.query('INSERT INTO one VALUES (1, 6)'), /one_by_m/);
  });

  it('a new database needs no preparation', async () => {
    prepare('SELECT 1/0;');
    assert.equal((await run()).length, 2);
  });
});

describe('connections', () => {
  it('a stream reads every row, and releases its connection when the reader stops', async () => {
    const rows: number[] = [];
    for await (const row of pool.stream<{ n: number }>('SELECT n FROM generate_series(1, 12345) n', [], 100))
      rows.push(row.n);
    assert.equal(rows.length, 12345);
    for (let i = 0; i < 20; i++) {
      for await (const row of pool.stream<{ n: number }>(
        'SELECT n FROM generate_series(1, 1000) n',
        [],
        10,
      )) {
        if (row.n === 5) break;
      }
    }
    assert.deepEqual(await pool.query('SELECT 1 AS n'), [{ n: 1 }]);
  });

  it('the server ends a session that idles inside a transaction, and `closed` resolves', async () => {
    const session = await openSession({
      url: database.url,
      applicationName: 'test',
      connectTimeoutMs: 5_000,
      statementTimeoutMs: 5_000,
      lockTimeoutMs: 1_000,
      idleInTransactionTimeoutMs: 50,
    });
    await session.query('BEGIN');
    await session.closed;
    await assert.rejects(session.query('SELECT 1'), SqlUnavailableError);
  });

  it('closing a session fails its running statement at once', async () => {
    const session = await openSession({
      url: database.url,
      applicationName: 'test-sleeper',
      connectTimeoutMs: 5_000,
      statementTimeoutMs: 60_000,
      lockTimeoutMs: 1_000,
      idleInTransactionTimeoutMs: 1_000,
    });
    const sleeping = session.query('SELECT pg_sleep(60)');
    session.close();
    await assert.rejects(sleeping, SqlUnavailableError);
  });
});
