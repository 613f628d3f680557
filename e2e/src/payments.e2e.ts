import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { PaymentsDocument, RpcSemanticsDocument, VerifyDocument } from '@thermomesh/contracts';
import { startMesh, type MeshHandle } from '@thermomesh/mesh/testing';
import { deriveToken, subjects } from '@thermomesh/runtime';
import { cliOf, ownServers } from './cli-support.ts';
import { assertIntact, waitMs } from './support.ts';

let mesh: MeshHandle;

before(async () => {
  mesh = await startMesh({ nodes: 1, payments: true });
});
after(() => mesh.remove());

const { document: run } = cliOf(() => ownServers(mesh.home), { timeoutMs: 3 * waitMs });
/** What a series reports about readings and jobs if there was no load: nothing, not 0. */
const noLoad = { load: null, lost: null, duplicated: null, corrupted: null, drainMs: null, jobs: null };
/** Runs `mesh … --json` against this mesh, whatever its exit code. */
const command: typeof run = async (schema, ...words) => run(schema, ...words, '--name', mesh.mesh.name);

describe('payments in a whole mesh', () => {
  it('the payment part starts, and only its owner may read its secrets', async () => {
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
      // No process logs a secret.
      for (const process of ['gateway', 'billing-1', 'billing-2', 'card-processor'])
        assert.ok(!readFileSync(mesh.logFile(process), 'utf8').includes(readFileSync(file, 'utf8').trim()));
    }
  });

  it('each order is charged once though each part of payments is killed and frozen', async () => {
    const words = ['--requests', '400', '--uuids', '50', '--chaos', '--seed', '11'];
    const { code, document } = await command(PaymentsDocument, 'payments', ...words);
    assert.deepEqual(document.findings, []);
    assert.equal(code, 0);
    assert.ok(document.ok);
    assert.deepEqual([document.lost, document.doubled, document.differing, document.inDoubt], [0, 0, 0, 0]);
    assert.deepEqual([document.requests, document.acknowledged], [400, 400]);
    assert.deepEqual([document.uuids, document.accepted], [50, 50]);
    // Every order is valid: whichever process dies, only the processor may decline it.
    assert.equal(document.failed, 0);
    assert.equal(document.charged + document.declined, 50);
    const { accepted, ledger, books, checkouts } = document.sums;
    assert.ok(ledger > 0);
    assert.deepEqual([accepted, books, checkouts], [ledger, ledger, ledger]);
    const hurt = document.blows.map(({ target, signal }) => `${signal} ${target}`);
    for (const target of ['gateway', 'billing-1', 'billing-2', 'card-processor', 'redis', 'postgres'])
      for (const signal of ['KILL', 'STOP']) assert.ok(hurt.includes(`${signal} ${target}`), hurt.join(', '));
    assert.ok(existsSync(path.join(document.folder ?? '', 'payments.ndjson')));
    // The same promises, judged later by what the customers have left on record.
    const verified = await command(VerifyDocument, 'verify');
    const verdictOf = (wanted: string) => verified.document.invariants.find(({ id }) => id === wanted);
    assert.equal(verified.code, 3, JSON.stringify(verified.document));
    assert.deepEqual([verdictOf('I3')?.ok, verdictOf('I5')?.ok], [true, true]);
    assert.match(verdictOf('I3')?.detail ?? '', /customers 50 orders/);
    // This mesh has no equalizer and had no load of readings.
    assert.deepEqual([verdictOf('I1')?.ok, verdictOf('I4')?.ok], [null, null]);
  });

  it('faults of mesh chaos in the payment part break no promise about readings', async () => {
    for (const target of ['redis', 'billing', 'card-processor'] as const) {
      const chaos = await mesh.chaos({ target, load: { devices: 10, rate: 100 } });
      assert.ok(chaos.ok, JSON.stringify(chaos.invariants));
      assertIntact(chaos);
    }
    // Without a load, no ledger tells what was sent during the fault.
    const { load, lost, duplicated, corrupted, drainMs, jobs } = await mesh.chaos({ target: 'billing' });
    assert.deepEqual({ load, lost, duplicated, corrupted, drainMs, jobs }, noLoad);
  });

  it('a processor without idempotency keys charges twice, and the command fails', async () => {
    // The processor's replies are lost, so billing repeats the charge under the same key, which
    // such a processor ignores.
    await faults({ idempotency: false, rates: { 'drop-reply': 0.5 } });
    const words = ['--requests', '20', '--uuids', '20', '--seed', '3'];
    const { code, document, stderr } = await command(PaymentsDocument, 'payments', ...words);
    await faults({});
    assert.equal(code, 1);
    assert.equal(document.ok, false);
    assert.ok(document.doubled > 0);
    assert.match(stderr, /doubled [0-9a-f-]{36}: the processor charged it \d times/);
    assert.ok(document.sums.ledger > document.sums.accepted);
    const verified = await command(VerifyDocument, 'verify');
    assert.equal(verified.code, 1);
    const i3 = verified.document.invariants.find(({ id }) => id === 'I3');
    assert.equal(i3?.ok, false);
    assert.match(i3.detail, /the processor charged tm_[\w-]+ \d times/);
  });

  it('rpc-semantics counts the charges of four kinds of call over one lossy link', async () => {
    const words = ['rpc-semantics', '--calls', '60', '--loss', '0.3', '--seed', '7'];
    const { code, document } = await command(RpcSemanticsDocument, 'demo', ...words);
    assert.equal(code, 0);
    const [maybe, noUuid, atMostOnce, uuid] = document.arms;
    assert.ok(maybe !== undefined && noUuid !== undefined && atMostOnce !== undefined && uuid !== undefined);
    assert.ok(maybe.answered < 60 && maybe.lost > 0 && maybe.doubled === 0);
    assert.ok(noUuid.answered === 60 && noUuid.lost === 0 && noUuid.doubled > 0);
    assert.ok(atMostOnce.lost > 0 && atMostOnce.doubled === 0);
    // An at-most-once call is repeated if the request certainly did not arrive.
    assert.ok(atMostOnce.lost < maybe.lost);
    assert.deepEqual(uuid, { ...uuid, calls: 60, answered: 60, charged: 60, lost: 0, doubled: 0 });
    const again = await command(RpcSemanticsDocument, 'demo', ...words);
    assert.deepEqual(again.document, document);
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
