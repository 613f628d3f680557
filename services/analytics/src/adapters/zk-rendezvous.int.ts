import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { testZooKeeper, type TestEnsemble } from '@thermomesh/servers';
import { ZooKeeper } from '@thermomesh/zookeeper';
import { until } from '../testing.ts';
import { openMeetingPlace, type Meeting } from './zk-rendezvous.ts';

const nodes = [1, 2, 3];
/** Nobody has to wait so long. */
const patientMs = 60_000;
/** Those that wait in vain: long enough for both to be there, although the machine stalls. */
const missingMs = 5_000;
/** Nobody loses it. */
const sessionTimeoutMs = 10_000;
let server: TestEnsemble;
let groups = 0;

before(async () => {
  server = await testZooKeeper();
});
after(async () => server.remove());

interface Node {
  meeting: Promise<Meeting | undefined>;
  stop(): Promise<void>;
}

function startNode(nodeId: number, path: string, timeoutMs: number, hosts = server.hosts): Node {
  const zk = new ZooKeeper({ hosts, sessionTimeoutMs });
  const url = `http://node-${nodeId}`;
  const place = openMeetingPlace({
    ...{ zk, path, nodeId, url, nodes, timeoutMs },
    onFault: (error) => assert.fail(String(error)),
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

const newPath = () => `/thermomesh/meeting-${(groups += 1)}/analytics`;
const urls = Object.fromEntries(nodes.map((node) => [`node-${node}`, `http://node-${node}`]));

/** Node `nodeId` has listed itself. */
async function untilListed(path: string, nodeId: number): Promise<void> {
  const zk = new ZooKeeper({ hosts: server.hosts, sessionTimeoutMs });
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
  it('meet in every order, each of them when the last one has come', async () => {
    await Promise.all(
      orders.map(async (order) => {
        const path = newPath();
        const started: Node[] = [];
        let over = 0;
        for (const [index, nodeId] of order.entries()) {
          const node = startNode(nodeId, path, patientMs);
          started.push(node);
          void node.meeting.then(() => (over += 1));
          if (index < 2) {
            await untilListed(path, nodeId);
            assert.equal(over, 0, `somebody went on without the others in ${order.join(', ')}`);
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

  it('one-of-them-is-missing: the others go on in time, and say who it is; it finds them when it comes', async () => {
    const path = newPath();
    const early = [1, 3].map((node) => startNode(node, path, missingMs));
    for (const { meeting } of early) {
      const outcome = await meeting;
      assert.ok(outcome?.met === false);
      assert.deepEqual([outcome.missing, outcome.there], [[2], [1, 3]]);
      assert.match(outcome.reason, /missing node-2: 0 of 1 within 5000 ms/);
    }
    const late = startNode(2, path, patientMs);
    assert.equal((await late.meeting)?.met, true);
    // Killed and started again: it does not wait for its own ghost, nor for anybody else.
    await late.stop();
    const again = startNode(2, path, patientMs);
    assert.equal((await again.meeting)?.met, true);
    await Promise.all([...early, again].map(async (node) => node.stop()));
  });

  it('without-ZooKeeper-a-node-goes-on-in-time, and an end while it waits ends the wait', async () => {
    const alone = startNode(1, newPath(), 300, '127.0.0.1:1');
    const outcome = await alone.meeting;
    assert.ok(outcome?.met === false);
    assert.deepEqual([outcome.missing, outcome.there], [nodes, []]);
    const patient = startNode(1, newPath(), patientMs);
    await Promise.all([alone.stop(), patient.stop()]);
    assert.equal(await patient.meeting, undefined);
    const hasty = startNode(1, newPath(), 0);
    assert.equal(await hasty.meeting, undefined);
    await hasty.stop();
  });
});
