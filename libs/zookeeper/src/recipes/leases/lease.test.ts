import assert from 'node:assert/strict';
import { it } from 'node:test';
import { until } from '@thermomesh/testing';
import type { ZooKeeper } from '../../client/zookeeper.ts';
import { NodeLease } from './lease.ts';

/** A client whose session is connected, and whose answers the test calls fresh or late. */
function clientWith(state: { fresh: boolean }) {
  const session = { id: 1n, timeoutMs: 3_000, number: 1 };
  const turn = async () => new Promise<void>((resolve) => setImmediate(resolve));
  const zk = {
    session,
    onPhase: () => () => undefined,
    mayAct: () => state.fresh,
    whenConnected: async () => session,
    sync: turn,
    exists: async () => turn().then(() => ({ ephemeralOwner: session.id, czxid: 7n })),
    delete: async () => undefined,
  };
  return { zk: zk as unknown as ZooKeeper, session };
}

it('a holder that may not act for a moment learns when it may act again', async () => {
  const state = { fresh: true };
  const { zk, session } = clientWith(state);
  const lease = await NodeLease.confirm(zk, { path: '/a', epoch: 7n, session });
  assert.ok(lease?.held);
  const told: boolean[] = [];
  lease.onHeld((held) => told.push(held));
  // The session is silent for two thirds of its timeout, and its answer is read before its timer.
  state.fresh = false;
  assert.equal(lease.held, false);
  state.fresh = true;
  await until('the holder to learn it', () => told.at(-1) === true, { timeoutMs: 10_000 });
  assert.deepEqual(told, [false, true]);
  assert.ok(lease.held);
  await lease.release();
});

it('a node that another session made is never held', async () => {
  const { zk, session } = clientWith({ fresh: true });
  assert.equal(await NodeLease.confirm(zk, { path: '/a', epoch: 8n, session }), undefined);
});
