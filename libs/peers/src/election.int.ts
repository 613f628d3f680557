import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createBullyElection, type ClaimResult, type Election, type NodeId } from '@thermomesh/election';
import { until } from '@thermomesh/testing';
import { startTestMesh } from './testing/mesh.ts';

/** Stands in for the database: the present epoch, and the node that holds it. */
function createFence() {
  let epoch = 0;
  let holder: NodeId | null = null;
  return {
    async claim(node: NodeId): Promise<ClaimResult> {
      if (holder !== null && holder !== node) return { outcome: 'held', holder, epoch };
      holder = node;
      epoch += 1;
      return { outcome: 'won', epoch };
    },
    async release(of: number): Promise<void> {
      if (of === epoch) holder = null;
    },
    expire(): void {
      holder = null;
    },
  };
}

it('a hanging coordinator is replaced over real sockets, and returns later', async (t) => {
  const ids = [1, 2, 3];
  const mesh = await startTestMesh(ids);
  const fence = createFence();
  const steps: string[] = [];
  const elections = new Map<NodeId, Election>();
  t.after(async () => {
    for (const election of elections.values()) await election.stop();
    await mesh.close();
  });
  for (const id of ids) {
    const election = createBullyElection({
      nodeId: id,
      peers: ids.filter((other) => other !== id),
      transport: mesh.node(id),
      limits: { preemptHoldMs: 800 },
      host: {
        claim: () => fence.claim(id),
        release: (epoch) => fence.release(epoch),
        stepDown: (epoch) => steps.push(`${id} steps down from ${epoch}`),
        onRole: (role, cause) => {
          if (role.role === 'coordinator') steps.push(`${id} leads ${role.epoch} (${cause})`);
        },
      },
    });
    elections.set(id, election);
    await election.start();
    election.setFit(true);
  }
  const allFollow = (node: NodeId, epoch: number, of = ids) =>
    of.every((id) => {
      const { coordinator } = elections.get(id)?.snapshot() ?? { coordinator: null };
      return coordinator?.node === node && coordinator.epoch === epoch;
    });

  await until('the first coordinator', () => allFollow(3, 1));
  mesh.proxy(1, 3).freeze();
  mesh.proxy(2, 3).freeze();
  // The lease is fresh: no node takes over before it expires.
  await until('the silence of 3', () => elections.get(2)?.snapshot().peers[1]?.connected === false);
  fence.expire();
  await until('the successor', () => allFollow(2, 2, [1, 2]));
  mesh.proxy(1, 3).thaw();
  mesh.proxy(2, 3).thaw();
  await until('the return of 3', () => allFollow(3, 3));
  assert.deepEqual(steps, [
    '3 leads 1 (first)',
    '2 leads 2 (failover)',
    '3 steps down from 1',
    '3 leads 3 (preempt)',
  ]);

  await elections.get(3)?.stop();
  await until('the successor after a graceful stop', () => allFollow(2, 4, [1, 2]));
  assert.equal(steps.at(-1), '2 leads 4 (yield)');
});
