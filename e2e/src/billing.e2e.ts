import assert from 'node:assert/strict';
import path from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { createBillingClient } from '@thermomesh/billing-client';
import { until } from '@thermomesh/mesh';
import {
  callerToken,
  callOnce,
  callUntilFinal,
  newId,
  order,
  startBilling,
  type Answer,
  type Billing,
} from './billing-support.ts';
import { startFlakyProxy } from './flaky-proxy.ts';
import { crashAt, untilHit, waitMs, witnessed } from './support.ts';

let billing: Billing;
const urls = () => billing.replicas.map(({ url }) => url);

before(async () => {
  billing = await startBilling();
});
afterEach(() => billing.faults({}));
after(() => billing.remove());

/** One charge in the processor's own ledger, and every final answer the same bytes (I3). */
async function assertOnce(transactionId: string, answers: readonly Answer[]): Promise<void> {
  const finals = answers.filter(({ status }) => status === 201);
  assert.ok(finals.length > 0, 'nobody got a final answer');
  assert.equal(new Set(finals.map(({ text }) => text)).size, 1);
  assert.equal(await billing.charges(transactionId), 1);
}

/** First try and concurrent duplicates at both replicas while `fault` strikes, then retries until all have an answer. */
async function cell(fault: (id: string) => Promise<void>): Promise<void> {
  const id = newId();
  const calls = [...urls(), ...urls()].map((url) => callOnce(url, id));
  const [first] = await Promise.all([Promise.all(calls), fault(id)]);
  const retries = await Promise.all([callUntilFinal(urls(), id), callUntilFinal(urls().reverse(), id)]);
  await assertOnce(id, [...first, ...retries]);
}

describe('client → billing: the link drops', () => {
  for (const losses of [['request'], ['reply'], ['request', 'reply', 'reply', 'request']] as const) {
    it(`${losses.join(', ')} lost: the stub asks again with the same UUID, beside duplicates`, async () => {
      const proxy = await startFlakyProxy(billing.replicas[0].port);
      try {
        const id = newId();
        const client = createBillingClient({ urls: [proxy.url], token: callerToken, backoffFirstMs: 10 });
        proxy.lose(...losses);
        const first = await client.pay(id, order);
        const again = await Promise.all([
          client.pay(id, order),
          ...urls().map((url) => callUntilFinal([url], id)),
        ]);
        const texts = again.map((one) => ('text' in one ? one.text : JSON.stringify(one)));
        await assertOnce(
          id,
          [JSON.stringify(first), ...texts].map((text) => ({ status: 201, text })),
        );
      } finally {
        await proxy.close();
      }
    });
  }
});

describe('billing → processor: every fault of the processor, its end included', () => {
  for (const fault of ['drop-request', 'drop-reply', 'hang', 'refuse', 'delay'] as const) {
    it(`${fault}: one charge, one answer`, async () => {
      await billing.faults({ next: [fault, fault], delayMs: 900 });
      await cell(async () => undefined);
    });
  }

  for (const fault of ['crash-before', 'crash-after'] as const) {
    it(`the processor dies: ${fault}; its ledger survives, and the charge is asked for again`, async () => {
      await billing.faults({ next: [fault] });
      await cell(async () => {
        await billing.processor.ended();
        await billing.processor.start();
      });
    });
  }
});

describe('a replica dies', () => {
  const alone = ['the other replica lives'] as const;
  for (const point of ['billing.before-charge', 'billing.after-charge', 'billing.after-commit'] as const) {
    // After the commit there is nothing left for a second one to die at.
    const cases = point === 'billing.after-commit' ? alone : [...alone, 'both die' as const];
    for (const which of cases) {
      it(`killed at ${point}, ${which}: first try, retry and concurrent duplicates`, async () => {
        const witness = path.join(billing.folder, `${point}-${which}`);
        const dying = which === 'both die' ? billing.replicas : [billing.replicas[0]];
        for (const replica of dying) {
          await replica.signal('SIGKILL');
          await replica.start(crashAt(point, witness));
        }
        const id = newId();
        const first = [callOnce(dying[0]!.url, id)];
        await untilHit(witness, point);
        const duplicates = [...urls(), ...urls()].map((url) => callOnce(url, id));
        if (which === 'both die') {
          // The second one takes over and dies at the same point.
          await Promise.all(dying.map((replica) => replica.ended()));
          assert.equal(witnessed(witness).length, 2);
        } else await dying[0]!.ended();
        for (const replica of dying) await replica.start();
        const retry = await callUntilFinal(urls(), id);
        await assertOnce(id, [...(await Promise.all([...first, ...duplicates])), retry]);
      });
    }
  }

  it('paused-replica-wakes: with the processor’s answer in its hand, it cannot finish what another has taken over', async () => {
    const witness = path.join(billing.folder, 'paused');
    const [paused, other] = billing.replicas;
    await paused.signal('SIGKILL');
    await paused.start(crashAt('billing.after-charge', witness, 1, 'stop'));
    const id = newId();
    const first = callOnce(paused.url, id);
    await untilHit(witness, 'billing.after-charge');
    const finished = await callUntilFinal([other.url], id);
    const [row] = await billing.sql.query(
      'SELECT attempt, holder FROM operations WHERE transaction_id = $1',
      [id],
    );
    assert.deepEqual(row, { attempt: 2, holder: 'billing-2' });
    await paused.signal('SIGCONT');
    await assertOnce(id, [await first, finished, await callUntilFinal([paused.url], id)]);
    await until({ what: 'the woken replica to meet the fence', timeoutMs: waitMs }, async () =>
      /^thermomesh_billing_fenced_total 1$/m.test(await (await fetch(`${paused.url}/metrics`)).text()),
    );
    assert.deepEqual(
      await billing.sql.query('SELECT attempt FROM operations WHERE transaction_id = $1', [id]),
      [{ attempt: 2 }],
    );
  });
});

describe('PostgreSQL dies', () => {
  it('while payments are under way: those without an answer are in doubt, and finished when it is back', async () => {
    await billing.faults({ next: ['delay'], delayMs: 300 });
    await cell(async (id) => {
      await untilClaimed(id);
      await billing.postgres.server.kill();
      await billing.postgres.restart();
    });
  });
});

describe('a storm', () => {
  it('1,000 concurrent duplicates of one UUID over two replicas, one of them killed -9: one charge, equal answers', async () => {
    const id = newId();
    const [killed, other] = billing.replicas;
    await billing.faults({ next: ['delay'], delayMs: 400 });
    const calls = Array.from({ length: 1_000 }, (_, n) => callUntilFinal([urls()[n % 2]!, other.url], id));
    await untilClaimed(id);
    await killed.signal('SIGKILL');
    const answers = await Promise.all(calls);
    await killed.start();
    assert.equal(answers.length, 1_000);
    await assertOnce(id, [...answers, await callUntilFinal([killed.url], id)]);
  });
});

it('after all of this the books balance, nothing is in doubt, and each posting is a charge of the processor', async () => {
  const [row] = await billing.sql.query<{ total: number; doubt: number; posted: number }>(
    `SELECT (SELECT coalesce(sum(amount_minor), 0)::bigint FROM entries) AS total,
            (SELECT count(*) FROM operations WHERE phase <> 'answered') AS doubt,
            (SELECT count(*) FROM postings) AS posted`,
  );
  assert.equal(row?.total, 0);
  assert.equal(row?.doubt, 0);
  const ids = await billing.sql.query<{ id: string }>('SELECT transaction_id AS id FROM postings');
  assert.equal(ids.length, row?.posted);
  for (const { id } of ids) assert.equal(await billing.charges(id), 1);
});

async function untilClaimed(id: string): Promise<void> {
  const deadlineMs = Date.now() + 30_000;
  while ((await billing.sql.query('SELECT 1 FROM operations WHERE transaction_id = $1', [id])).length === 0)
    assert.ok(Date.now() < deadlineMs, 'nobody claimed the key');
}
