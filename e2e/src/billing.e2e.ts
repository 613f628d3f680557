import assert from 'node:assert/strict';
import path from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { createBillingClient } from '@thermomesh/billing-client';
import { startLossyProxy } from '@thermomesh/links';
import { until } from '@thermomesh/mesh/testing';
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
import { crashAt, untilHit, waitMs, witnessed } from './support.ts';

let billing: Billing;
const urls = () => billing.replicas.map(({ url }) => url);

before(async () => {
  billing = await startBilling();
});
afterEach(() => billing.faults({}));
after(() => billing.remove());

/** The processor's own ledger has one charge, and all final answers are the same bytes (I3). */
async function assertOnce(transactionId: string, answers: readonly Answer[]): Promise<void> {
  const finals = answers.filter(({ status }) => status === 201);
  assert.ok(finals.length > 0, 'no call got a final answer');
  assert.equal(new Set(finals.map(({ text }) => text)).size, 1);
  assert.equal(await billing.charges(transactionId), 1);
}

/**
 * Sends a first try and concurrent duplicates to both replicas while `fault` strikes, then retries
 * until all have an answer.
 */
async function cell(fault: (id: string) => Promise<void>): Promise<void> {
  const id = newId();
  const calls = [...urls(), ...urls()].map((url) => callOnce(url, id));
  const [first] = await Promise.all([Promise.all(calls), fault(id)]);
  const retries = await Promise.all([callUntilFinal(urls(), id), callUntilFinal(urls().reverse(), id)]);
  await assertOnce(id, [...first, ...retries]);
}

describe('client → billing: the link drops', () => {
  for (const losses of [['request'], ['reply'], ['request', 'reply', 'reply', 'request']] as const) {
    it(`with ${losses.join(', ')} lost, a repeated UUID is charged once`, async () => {
      const proxy = await startLossyProxy(billing.replicas[0].port);
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

describe('billing → processor: every fault of the processor, and its death', () => {
  for (const fault of ['drop-request', 'drop-reply', 'hang', 'refuse', 'delay'] as const) {
    it(`the processor’s fault ${fault} leads to one charge and one answer`, async () => {
      await billing.faults({ next: [fault, fault], delayMs: 900 });
      await cell(async () => undefined);
    });
  }

  for (const fault of ['crash-before', 'crash-after'] as const) {
    it(`the processor dies (${fault}), and a repeated charge is made only once`, async () => {
      await billing.faults({ next: [fault] });
      await cell(async () => {
        await billing.processor.ended();
        await billing.processor.start();
      });
    });
  }
});

describe('a replica dies', () => {
  const alone = ['one replica dies'] as const;
  for (const point of ['billing.before-charge', 'billing.after-charge', 'billing.after-commit'] as const) {
    // After the commit no work is left at which a second replica could die.
    const cases = point === 'billing.after-commit' ? alone : [...alone, 'both replicas die' as const];
    for (const which of cases) {
      it(`${which} at ${point}, yet all calls are charged once`, async () => {
        const witness = path.join(billing.folder, `${point}-${which}`);
        const dying = which === 'both replicas die' ? billing.replicas : [billing.replicas[0]];
        for (const replica of dying) {
          await replica.signal('SIGKILL');
          await replica.start(crashAt(point, witness));
        }
        const id = newId();
        const first = [callOnce(dying[0]!.url, id)];
        await untilHit(witness, point);
        const duplicates = [...urls(), ...urls()].map((url) => callOnce(url, id));
        if (which === 'both replicas die') {
          // The second replica takes over and dies at the same point.
          await Promise.all(dying.map((replica) => replica.ended()));
          assert.equal(witnessed(witness).length, 2);
        } else await dying[0]!.ended();
        for (const replica of dying) await replica.start();
        const retry = await callUntilFinal(urls(), id);
        await assertOnce(id, [...(await Promise.all([...first, ...duplicates])), retry]);
      });
    }
  }

  it('a paused replica that wakes cannot finish a payment that another took over', async () => {
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
  it('payments under way when PostgreSQL dies are finished when it is back', async () => {
    await billing.faults({ next: ['delay'], delayMs: 300 });
    await cell(async (id) => {
      await untilClaimed(id);
      await billing.postgres.server.kill();
      await billing.postgres.restart();
    });
  });
});

describe('a storm of duplicates', () => {
  it('1,000 concurrent duplicates are charged once though a replica is killed', async () => {
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

it('after every fault the books balance, and each posting is one charge', async () => {
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
  const sql = 'SELECT 1 FROM operations WHERE transaction_id = $1';
  await until(
    { what: `a replica to claim ${id}`, timeoutMs: 30_000 },
    async () => (await billing.sql.query(sql, [id])).length > 0,
  );
}
