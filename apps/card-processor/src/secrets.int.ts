import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { it } from 'node:test';
import { createLog, deriveToken, subjects } from '@thermomesh/runtime';
import { readProcessorConfig, settingsOf } from './config.ts';
import { createService } from './service.ts';

const secret = 'the processor’s, at least thirty-two characters';
const token = 'tok_SECRETSECRET4242';

it('secrets and card data are in no log, answer, metric or file', async () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'card-processor-'));
  let logged = '';
  const config = readProcessorConfig({ DATA_DIR: folder, PROCESSOR_SECRET: secret, HTTP_PORT: '0' });
  const log = createLog('card-processor', 'trace', { write: (line) => void (logged += line) });
  const service = await createService(settingsOf(config), log);
  await service.start();
  const texts: string[] = [];
  const ask = async (method: string, route: string, body?: unknown, key = 'k1') => {
    const response = await fetch(`http://127.0.0.1:${service.httpPort}${route}`, {
      method,
      headers: {
        authorization: `Bearer ${deriveToken(secret, subjects.operator)}`,
        'idempotency-key': key,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    texts.push(await response.text());
    return response.status;
  };
  const good = { amountMinor: 1_250, currency: 'EUR', paymentToken: token };
  try {
    assert.equal(await ask('POST', '/v1/charges', good), 201);
    assert.equal(await ask('POST', '/v1/charges', good), 201);
    assert.equal(await ask('POST', '/v1/charges', { ...good, amountMinor: 1 }), 422);
    assert.equal(await ask('POST', '/v1/charges', { ...good, amountMinor: -1 }), 400);
    assert.equal(await ask('POST', '/v1/charges', { ...good, cardNumber: token }), 400);
    assert.equal(await ask('POST', '/v1/charges', `{"paymentToken":"${token}"`), 400);
    await ask('PUT', '/v1/faults', { next: ['refuse', 'decline', 'drop-reply'] });
    assert.equal(await ask('POST', '/v1/charges', good, 'k2'), 503);
    assert.equal(await ask('POST', '/v1/charges', good, 'k3'), 201);
    await assert.rejects(ask('POST', '/v1/charges', good, 'k4'));
    for (const route of [
      '/v1/ledger',
      '/v1/charges/k1',
      '/v1/faults',
      '/metrics',
      '/openapi.json',
      '/v1/nothing',
    ])
      await ask('GET', route);
    assert.match(logged, /order\.received.*"key":"k1".*"amountMinor":1250/);
  } finally {
    await service.stop();
  }
  const files = readdirSync(folder).map((name) => readFileSync(path.join(folder, name), 'utf8'));
  assert.match(files.join(), /"key":"k4"/);
  const everything = [logged, ...texts, ...files].join('\n');
  for (const hidden of [token, secret, deriveToken(secret, subjects.operator)])
    assert.ok(!everything.includes(hidden), `found ${hidden.slice(0, 6)}…`);
  rmSync(folder, { recursive: true });
});

it('faults by rate apply to calls without a planned fault', async () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'card-processor-'));
  const config = readProcessorConfig({ DATA_DIR: folder, PROCESSOR_SECRET: secret, HTTP_PORT: '0' });
  const service = await createService(settingsOf(config), createLog('card-processor', 'silent'));
  await service.start();
  const headers = {
    authorization: `Bearer ${deriveToken(secret, subjects.operator)}`,
    'content-type': 'application/json',
  };
  const url = `http://127.0.0.1:${service.httpPort}`;
  const charge = async (key: string) => {
    const body = JSON.stringify({ amountMinor: 1, currency: 'EUR', paymentToken: 't' });
    const sent = { method: 'POST', headers: { ...headers, 'idempotency-key': key }, body };
    return (await fetch(`${url}/v1/charges`, sent)).status;
  };
  try {
    const plan = JSON.stringify({ next: ['decline'], rates: { refuse: 1 } });
    await fetch(`${url}/v1/faults`, { method: 'PUT', headers, body: plan });
    assert.deepEqual([await charge('a'), await charge('b'), await charge('c')], [201, 503, 503]);
    await fetch(`${url}/v1/faults`, { method: 'DELETE', headers: { authorization: headers.authorization } });
    assert.equal(await charge('b'), 201);
  } finally {
    await service.stop();
    rmSync(folder, { recursive: true });
  }
});
