import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ZooKeeper } from '@thermomesh/zookeeper';
import { until } from '@thermomesh/testing';
import { useZooKeeper } from '@thermomesh/zookeeper/testing';
import type { Meeting } from '../core/ports.ts';
import { openMeetingPlace } from './zk-rendezvous.ts';

const nodes = [1, 2, 3];
/** Longer than any wait in these tests. */
const patientMs = 60_000;
/** Time limit of nodes that wait in vain: both must be listed within it on a slow machine. */
const missingMs = 5_000;
/** Long enough that no session expires in these tests. */
const sessionTimeoutMs = 10_000;
const { ensemble, freshPath } = useZooKeeper();

interface Node {
  meeting: Promise<Meeting | undefined>;
  stop(): Promise<void>;
}

function startNode(nodeId: number, path: string, timeoutMs: number, hosts = ensemble().hosts): Node {
  const zk = new ZooKeeper({ hosts, sessionTimeoutMs });
  const url = `http://node-${nodeId}`;
  const place = openMeetingPlace({
    zk,
    path,
    nodeId,
    url,
    nodes,
    timeoutMs,
    onFailed: (error) => assert.fail(String(error)),
  });
  zk.start();
  place.start();
  const meeting = place.meet();
  const stop = async () => {
    await zk.close();
    await place.stop();
  };
  return { meeting, stop };
}

const urls = Object.fromEntries(nodes.map((node) => [`node-${node}`, `http://node-${node}`]));

/** Waits until node `nodeId` has listed itself. */
async function untilListed(path: string, nodeId: number): Promise<void> {
  const zk = new ZooKeeper({ hosts: ensemble().hosts, sessionTimeoutMs });
  zk.start();
  try {
    await zk.whenConnected({ timeoutMs: patientMs });
    const node = `${path}/rendezvous/parties/node-${nodeId}`;
    await until(`node ${nodeId} to be listed`, async () => (await zk.exists(node)) !== undefined);
  } finally {
    await zk.close();
  }
}

describe('nodes that start', () => {
  const orders = [
    [1, 2, 3],
    [1, 3, 2],
    [2, 1, 3],
    [2, 3, 1],
    [3, 1, 2],
    [3, 2, 1],
  ];
  it('nodes that start in any order meet when the last one is there', async () => {
    await Promise.all(
      orders.map(async (order) => {
        const path = freshPath();
        const started: Node[] = [];
        let over = 0;
        for (const [index, nodeId] of order.entries()) {
          const node = startNode(nodeId, path, patientMs);
          started.push(node);
          void node.meeting.then(() => (over += 1));
          if (index < 2) {
            await untilListed(path, nodeId);
            assert.equal(over, 0, `a node did not wait for the others in ${order.join(', ')}`);
          }
        }
        for (const { meeting } of started) {
          const outcome = await meeting;
          assert.ok(outcome?.met === true, JSON.stringify(outcome));
          assert.deepEqual(outcome.urls, urls);
        }
        await Promise.all(started.map(async (node) => node.stop()));
      }),
    );
  });

  it('nodes continue without a missing node and name it; it finds them later', async () => {
    const path = freshPath();
    const early = [1, 3].map((node) => startNode(node, path, missingMs));
    for (const { meeting } of early) {
      const outcome = await meeting;
      assert.ok(outcome?.met === false);
      assert.deepEqual([outcome.missing, outcome.there], [[2], [1, 3]]);
      assert.match(outcome.reason, /missing node-2: 0 of 1 within 5000 ms/);
    }
    const late = startNode(2, path, patientMs);
    assert.equal((await late.meeting)?.met, true);
    // A node that is killed and started again waits neither for its old entry nor for the others.
    await late.stop();
    const again = startNode(2, path, patientMs);
    assert.equal((await again.meeting)?.met, true);
    await Promise.all([...early, again].map(async (node) => node.stop()));
  });

  it('a node without ZooKeeper continues in time, and a stop ends its wait', async () => {
    const alone = startNode(1, freshPath(), 300, '127.0.0.1:1');
    const outcome = await alone.meeting;
    assert.ok(outcome?.met === false);
    assert.deepEqual([outcome.missing, outcome.there], [nodes, []]);
    const patient = startNode(1, freshPath(), patientMs);
    await Promise.all([alone.stop(), patient.stop()]);
    assert.equal(await patient.meeting, undefined);
    const hasty = startNode(1, freshPath(), 0);
    assert.equal(await hasty.meeting, undefined);
    await hasty.stop();
  });
});
