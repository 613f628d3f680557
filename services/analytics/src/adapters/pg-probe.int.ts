import assert from 'node:assert/strict';
import { it } from 'node:test';
import { testDatabase } from '@thermomesh/servers';
import { openDrainStore } from './pg-drain-store.ts';
import { createSqlProbe } from './pg-probe.ts';

const limits = { applicationName: 'test', lockTimeoutMs: 1_000, idleInTransactionTimeoutMs: 1_000 };
const timeoutMs = 60_000;

it('a database that could lose a batch makes the node unfit and is not drained into', async () => {
  const database = await testDatabase();
  const safe = createSqlProbe({ ...limits, url: database.url });
  const url = `${database.url}?options=${encodeURIComponent('-c synchronous_commit=off')}`;
  const unsafe = createSqlProbe({ ...limits, url });
  try {
    await safe.ask(timeoutMs);
    const refused = { code: 'sql.not_durable', message: /take synchronous_commit out of DATABASE_URL/ };
    await assert.rejects(unsafe.ask(timeoutMs), refused);
    const patience = { connectTimeoutMs: timeoutMs, statementTimeoutMs: timeoutMs };
    await assert.rejects(openDrainStore({ ...limits, ...patience, url }), refused);
  } finally {
    safe.close();
    unsafe.close();
    await database.drop();
  }
});
