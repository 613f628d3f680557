import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createLog, deriveToken, subjects } from '@thermomesh/runtime';
import { testDatabase } from '@thermomesh/servers';
import { until } from '@thermomesh/testing';
import { readBillingConfig, settingsOf } from './config.ts';
import { createService } from './service.ts';
import { meshSecret, quickSettings } from './testing.ts';

it('a replica on a database that could lose a charge is not ready and claims nothing', async () => {
  const database = await testDatabase();
  const url = `${database.url}?options=${encodeURIComponent('-c synchronous_commit=off')}`;
  const config = readBillingConfig(quickSettings(url, 'http://127.0.0.1:1'));
  const replica = await createService(settingsOf(config), createLog('billing', 'silent'));
  try {
    await replica.start();
    const at = (route: string) => `http://127.0.0.1:${replica.httpPort}${route}`;
    let reason = '';
    await until('the replica to say why', async () => {
      const answer = (await (await fetch(at('/readyz'))).json()) as { reasons: Record<string, string> };
      reason = answer.reasons['postgresql'] ?? '';
      return reason.includes('synchronous_commit');
    });
    assert.match(reason, /take synchronous_commit out of DATABASE_URL/);
    const payment = await fetch(at('/v1/payments'), {
      method: 'POST',
      headers: {
        authorization: `Bearer ${deriveToken(meshSecret, subjects.service('gateway'))}`,
        'content-type': 'application/json',
        'idempotency-key': '11111111-2222-4333-8444-555555555555',
      },
      body: JSON.stringify({ payer: 'ann', amountMinor: 1, currency: 'EUR', paymentToken: 't' }),
    });
    assert.equal(payment.status, 503, await payment.clone().text());
  } finally {
    await replica.stop();
    await database.drop();
  }
});
