import assert from 'node:assert/strict';
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { deriveToken, subjects } from '@thermomesh/runtime';

const secret = 'a secret of at least thirty-two characters';
const authorization = `Bearer ${deriveToken(secret, subjects.operator)}`;
const folder = mkdtempSync(path.join(os.tmpdir(), 'card-processor-'));
const good = { amountMinor: 1_250, currency: 'EUR', paymentToken: 'tok_1' };
let child: ChildProcess;
let url = '';

async function start(): Promise<void> {
  child = fork(path.join(import.meta.dirname, 'main.ts'), {
    env: { ...process.env, DATA_DIR: folder, PROCESSOR_SECRET: secret, HTTP_PORT: '0', LOG_LEVEL: 'silent' },
  });
  const [message] = (await once(child, 'message')) as [{ httpPort: number }];
  url = `http://127.0.0.1:${message.httpPort}`;
}

async function end(signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill(signal);
  await ended;
}

async function call(method: string, route: string, body?: unknown, key?: string) {
  const response = await fetch(url + route, {
    method,
    headers: {
      authorization,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(key === undefined ? {} : { 'idempotency-key': key }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(10_000),
  });
  const replayed = response.headers.get('idempotency-replayed') === 'true';
  return { status: response.status, replayed, body: (await response.json()) as Record<string, unknown> };
}
const charge = (key: string, more = {}) => call('POST', '/v1/charges', { ...good, ...more }, key);
const faults = (plan: object) => call('PUT', '/v1/faults', plan);

async function entriesOf(key: string): Promise<unknown[]> {
  const { body } = await call('GET', '/v1/ledger');
  return (body['entries'] as { key: string }[]).filter((entry) => entry.key.startsWith(key));
}

before(start);
afterEach(async () => {
  if (child.signalCode === null) await call('DELETE', '/v1/faults');
});
after(async () => {
  await end('SIGTERM');
  rmSync(folder, { recursive: true });
});

describe('the card processor', () => {
  it('a key is charged once and gets the same answer again', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => charge('k-once')));
    assert.deepEqual(new Set(answers.map(({ body }) => JSON.stringify(body))).size, 1);
    assert.equal(answers.filter(({ replayed }) => !replayed).length, 1);
    assert.equal((await entriesOf('k-once')).length, 1);
    assert.equal((await charge('k-once', { amountMinor: 1 })).status, 422);
    assert.equal((await call('GET', '/v1/charges/k-once')).body['status'], 'charged');
    assert.equal((await call('GET', '/v1/charges/never')).status, 404);
  });

  it('refunds never exceed the charge', async () => {
    const { body } = await charge('k-refunded');
    const refund = (key: string, amountMinor: number) =>
      call('POST', '/v1/refunds', { amountMinor, currency: 'EUR', charge: body['id'] }, key);
    assert.equal((await refund('r1', 1_000)).body['status'], 'refunded');
    assert.equal((await refund('r1', 1_000)).replayed, true);
    assert.equal((await refund('r2', 251)).body['reason'], 'exceeds_charge');
    assert.equal((await refund('r3', 250)).body['status'], 'refunded');
  });

  it('each planned fault hits one call', async () => {
    await faults({ next: ['refuse', 'decline', 'drop-request', 'drop-reply', 'delay'], delayMs: 20 });
    assert.equal((await charge('f-refuse')).status, 503);
    assert.equal((await charge('f-decline')).body['status'], 'declined');
    await assert.rejects(charge('f-drop-request'));
    await assert.rejects(charge('f-drop-reply'));
    assert.equal((await charge('f-delay')).body['status'], 'charged');
    for (const [key, count] of Object.entries({
      refuse: 0,
      decline: 1,
      'drop-request': 0,
      'drop-reply': 1,
      delay: 1,
    }))
      assert.equal((await entriesOf(`f-${key}`)).length, count, key);
    assert.equal((await charge('f-drop-reply')).replayed, true);
  });

  it('a call that hangs is never charged', async () => {
    await faults({ next: ['hang'] });
    const response = fetch(`${url}/v1/charges`, {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/json', 'idempotency-key': 'f-hang' },
      body: JSON.stringify(good),
      signal: AbortSignal.timeout(200),
    });
    await assert.rejects(response, { name: 'TimeoutError' });
    assert.equal((await entriesOf('f-hang')).length, 0);
  });

  it('without idempotency every call is a new charge', async () => {
    await faults({ idempotency: false });
    await charge('f-none');
    await charge('f-none');
    assert.equal((await entriesOf('f-none')).length, 2);
  });

  it('the ledger survives a crash before and after a charge', async () => {
    for (const [fault, count] of [
      ['crash-before', 0],
      ['crash-after', 1],
    ] as const) {
      await faults({ next: [fault] });
      const ended = once(child, 'exit');
      await assert.rejects(charge(`f-${fault}`));
      await ended;
      // A line as a write that the crash has torn would leave it.
      appendFileSync(path.join(folder, 'charges.log'), '12345678 {"key":"to');
      await start();
      assert.equal((await entriesOf(`f-${fault}`)).length, count);
      assert.equal((await charge(`f-${fault}`)).replayed, count === 1);
      assert.equal((await entriesOf(`f-${fault}`)).length, 1);
    }
  });

  it('unknown callers, missing keys and invalid fault plans are refused', async () => {
    assert.equal((await fetch(`${url}/v1/ledger`)).status, 401);
    assert.equal((await call('POST', '/v1/charges', good)).status, 400);
    assert.equal((await charge('k', { amountMinor: -1 })).status, 400);
    assert.equal((await faults({ next: ['explode'] })).status, 400);
    assert.equal((await faults({ rates: { refuse: 0.7, hang: 0.7 } })).status, 400);
  });
});
