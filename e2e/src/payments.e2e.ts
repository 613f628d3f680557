import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { PaymentsDocument, RpcSemanticsDocument } from '@thermomesh/contracts';
import { startMesh, type MeshHandle } from '@thermomesh/mesh';
import { deriveToken, subjects } from '@thermomesh/runtime';
import type { Static, TSchema } from 'typebox';
import { Check, Errors } from 'typebox/value';
import { waitMs } from './support.ts';

const repository = path.resolve(import.meta.dirname, '../..');
const bin = path.join(repository, 'tools/mesh/bin/mesh.mjs');
const run = promisify(execFile);
let mesh: MeshHandle;

before(async () => {
  mesh = await startMesh({ nodes: 1, payments: true });
});
after(() => mesh.remove());

/** Runs `mesh … --json` against this mesh and checks the one document on stdout. */
async function command<S extends TSchema>(
  schema: S,
  ...words: string[]
): Promise<{ code: number; document: Static<S>; stderr: string }> {
  const env = { ...process.env, MESH_HOME: mesh.home, DATABASE_URL: '', REDIS_URL: '' };
  const all = [bin, ...words, '--name', mesh.mesh.name, '--json'];
  const { code, stdout, stderr } = await run(process.execPath, all, { env, timeout: 3 * waitMs }).then(
    (output) => ({ code: 0, ...output }),
    (error: { code: number; stdout: string; stderr: string }) => error,
  );
  const document: unknown = JSON.parse(stdout);
  assert.ok(Check(schema, document), JSON.stringify([...Errors(schema, document)].slice(0, 3)));
  return { code, document, stderr };
}

describe('payments in a whole mesh', () => {
  it('the payment part is up: roles, addresses, secrets that only their owner may read', async () => {
    const status = await mesh.status();
    assert.ok(status.ready);
    assert.deepEqual(
      status.processes.map(({ name, role }) => `${name} ${role}`),
      [
        'redis redis',
        'postgres postgres',
        'card-processor card-processor',
        'billing-1 billing',
        'billing-2 billing',
        'gateway gateway',
        'node-1 analytics',
      ],
    );
    assert.match(status.redisUrl ?? '', /^redis:\/\/:[\w%-]{20,}@127\.0\.0\.1:\d+/);
    for (const name of ['billing.secret', 'processor.secret', 'checkout.secret', 'redis.password']) {
      const file = path.join(mesh.home, mesh.mesh.name, name);
      assert.equal(statSync(file).mode & 0o777, 0o600, name);
      // Nobody says them aloud.
      for (const process of ['gateway', 'billing-1', 'billing-2', 'card-processor'])
        assert.ok(!readFileSync(mesh.logFile(process), 'utf8').includes(readFileSync(file, 'utf8').trim()));
    }
  });

  it('everything killed and frozen in turn, the processor failing: each order charged once, all accounts equal', async () => {
    const words = ['--requests', '400', '--uuids', '50', '--chaos', '--seed', '11'];
    const { code, document } = await command(PaymentsDocument, 'payments', ...words);
    assert.deepEqual(document.findings, []);
    assert.equal(code, 0);
    assert.ok(document.ok);
    assert.deepEqual([document.lost, document.doubled, document.differing, document.inDoubt], [0, 0, 0, 0]);
    assert.deepEqual([document.requests, document.acknowledged], [400, 400]);
    assert.deepEqual([document.uuids, document.accepted], [50, 50]);
    // Every order is good: whatever dies meanwhile, only the processor may say no.
    assert.equal(document.failed, 0);
    assert.equal(document.charged + document.declined, 50);
    const { accepted, ledger, books, checkouts } = document.sums;
    assert.ok(ledger > 0);
    assert.deepEqual([accepted, books, checkouts], [ledger, ledger, ledger]);
    const hurt = document.blows.map(({ target, signal }) => `${signal} ${target}`);
    for (const target of ['gateway', 'billing-1', 'billing-2', 'card-processor', 'redis', 'postgres'])
      for (const signal of ['KILL', 'STOP']) assert.ok(hurt.includes(`${signal} ${target}`), hurt.join(', '));
    assert.ok(existsSync(path.join(document.folder ?? '', 'payments.ndjson')));
  });

  it('a-processor-without-idempotency-keys-charges-twice, and the command says whom, and fails', async () => {
    // Its replies are lost: billing asks again under the same key, and such a processor knows of no key.
    await faults({ idempotency: false, rates: { 'drop-reply': 0.5 } });
    const words = ['--requests', '20', '--uuids', '20', '--seed', '3'];
    const { code, document, stderr } = await command(PaymentsDocument, 'payments', ...words);
    await faults({});
    assert.equal(code, 1);
    assert.equal(document.ok, false);
    assert.ok(document.doubled > 0);
    assert.match(stderr, /doubled [0-9a-f-]{36}: the processor charged it \d times/);
    assert.ok(document.sums.ledger > document.sums.accepted);
  });

  it('rpc-semantics: the same link under four kinds of call, counted by the processor', async () => {
    const words = ['rpc-semantics', '--calls', '60', '--loss', '0.3', '--seed', '7'];
    const { code, document } = await command(RpcSemanticsDocument, 'demo', ...words);
    assert.equal(code, 0);
    const [maybe, noUuid, atMostOnce, uuid] = document.arms;
    assert.ok(maybe !== undefined && noUuid !== undefined && atMostOnce !== undefined && uuid !== undefined);
    assert.ok(maybe.answered < 60 && maybe.lost > 0 && maybe.doubled === 0);
    assert.ok(noUuid.answered === 60 && noUuid.lost === 0 && noUuid.doubled > 0);
    assert.ok(atMostOnce.lost > 0 && atMostOnce.doubled === 0);
    // What is certain not to have arrived it sends again.
    assert.ok(atMostOnce.lost < maybe.lost);
    assert.deepEqual(uuid, { ...uuid, calls: 60, answered: 60, charged: 60, lost: 0, doubled: 0 });
    const again = await command(RpcSemanticsDocument, 'demo', ...words);
    assert.deepEqual(again.document, document);
  });

  it('blows of mesh chaos at the payment part are survived, and telemetry keeps its promises', async () => {
    for (const target of ['redis', 'billing', 'card-processor'] as const) {
      const chaos = await mesh.chaos({ target });
      assert.ok(chaos.ok, JSON.stringify(chaos.invariants));
    }
  });
});

/** Replaces the processor's fault plan. */
async function faults(plan: object): Promise<void> {
  const { processes } = await mesh.status();
  const url = processes.find(({ name }) => name === 'card-processor')?.url;
  const secret = readFileSync(path.join(mesh.home, mesh.mesh.name, 'processor.secret'), 'utf8').trim();
  const response = await fetch(`${url}/v1/faults`, {
    method: 'PUT',
    headers: {
      authorization: `Bearer ${deriveToken(secret, subjects.operator)}`,
      'content-type': 'application/json',
    },
    body: JSON.stringify(plan),
  });
  assert.ok(response.ok, await response.text());
}
