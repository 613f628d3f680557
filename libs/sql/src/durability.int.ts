import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import {
  sqlPatience,
  testPgBouncer,
  testPostgres,
  type TestPgBouncer,
  type TestPostgres,
} from '@thermomesh/servers';
import { until } from '@thermomesh/testing';
import { createDatabaseWatch } from './database-watch.ts';
import { createPool, openSession, type SqlPool } from './pool.ts';

let own: TestPostgres;
const pools: SqlPool[] = [];
const poolers: TestPgBouncer[] = [];

before(async () => {
  own = await testPostgres();
});
afterEach(async () => {
  await Promise.all(pools.splice(0).map(async (pool) => pool.close()));
  await Promise.all(poolers.splice(0).map(async (pooler) => pooler.remove()));
});
after(async () => own.remove());

function poolOn(url: string, durable = true): SqlPool {
  const pool = createPool({ ...sqlPatience, url, applicationName: 'test', durable });
  pools.push(pool);
  return pool;
}
const sessionOn = async (url: string) =>
  openSession({
    ...sqlPatience,
    url,
    applicationName: 'test',
    lockTimeoutMs: 1_234,
    idleInTransactionTimeoutMs: 4_321,
    durable: true,
  });
/** Starts the server again with these settings. */
async function restart(settings: Record<string, string> = {}): Promise<void> {
  await own.server.stop();
  await own.restart({ settings });
}
const select = async (pool: SqlPool) => pool.query('SELECT 1 AS n');
const withOptions = (url: string, options: string) => `${url}?options=${encodeURIComponent(options)}`;

describe('a database that could lose a commit', () => {
  it('a server without fsync is refused until it is on again', async () => {
    await restart({ fsync: 'off' });
    const refused = { code: 'sql.not_durable', message: /fsync is off/ };
    const pool = poolOn(own.server.url);
    await assert.rejects(select(pool), refused);
    await assert.rejects(sessionOn(own.server.url), refused);
    await restart();
    await until('the pool to be used again', async () =>
      select(pool).then(
        () => true,
        () => false,
      ),
    );
  });

  it('a server without full_page_writes is refused', async () => {
    await restart({ full_page_writes: 'off' });
    await assert.rejects(select(poolOn(own.server.url)), { message: /full_page_writes is off/ });
    await restart();
  });

  it('synchronous_commit off in the URL is refused, and nothing is sent to the server', async () => {
    const url = withOptions(own.server.url, '-c synchronous_commit=off');
    const refused = { code: 'sql.not_durable', message: /take synchronous_commit out of DATABASE_URL/ };
    await assert.rejects(poolOn(url).query('CREATE TABLE lost (n int)'), refused);
    await assert.rejects(sessionOn(url), refused);
    const [row] = await poolOn(own.server.url, false).query(`SELECT to_regclass('lost') AS lost`);
    assert.deepEqual(row, { lost: null });
    await select(poolOn(withOptions(own.server.url, '-c synchronous_commit=local')));
  });

  it('a role that is changed while connections are open is noticed, and its repair too', async () => {
    const admin = poolOn(own.server.url, false);
    const watch = createDatabaseWatch({
      ...sqlPatience,
      url: own.server.url,
      applicationName: 'watch',
      intervalMs: 1,
    });
    await watch.assertSafe();
    const { username: role } = new URL(own.server.url);
    await admin.query(`ALTER ROLE ${role} SET synchronous_commit = off`);
    let why = '';
    const isSafe = async () =>
      watch.assertSafe().then(
        () => true,
        (error: Error) => {
          why = error.message;
          return false;
        },
      );
    await until('the change to be seen', async () => !(await isSafe()));
    const [, advice = ''] = /: run (ALTER ROLE .*)$/.exec(why) ?? [];
    assert.equal(advice, `ALTER ROLE "${role}" RESET synchronous_commit`);
    await admin.query(advice);
    await until('the repair to be seen', isSafe);
  });
});

describe('a pooler', () => {
  for (const settings of [{}, { default_pool_size: '1' }, { server_round_robin: '1' }]) {
    const how = Object.keys(settings)[0] ?? 'its defaults';
    it(`a pooler in transaction mode is refused, with ${how}`, async () => {
      const pooler = await testPgBouncer(own.server.url, { pool_mode: 'transaction', ...settings });
      poolers.push(pooler);
      await assert.rejects(select(poolOn(pooler.url)), {
        code: 'sql.not_a_session',
        message: /set pool_mode = session in the pooler/,
      });
    });
  }

  it('a pooler in session mode is accepted, and the time limits hold behind it', async () => {
    const pooler = await testPgBouncer(own.server.url, { pool_mode: 'session' });
    poolers.push(pooler);
    const pool = poolOn(pooler.url);
    await select(pool);
    const session = await sessionOn(pooler.url);
    const [limits] = await session.query(
      `SELECT current_setting('lock_timeout') AS lock, current_setting('statement_timeout') AS statement,
        current_setting('idle_in_transaction_session_timeout') AS idle`,
    );
    assert.deepEqual(limits, { lock: '1234ms', statement: '1min', idle: '4321ms' });
    session.close();
  });
});
