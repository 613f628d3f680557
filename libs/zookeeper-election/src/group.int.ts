import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { until } from '@thermomesh/testing';
import { useZooKeeper } from '@thermomesh/zookeeper/testing';
import { joinElectionGroup, readElectionGroup, type ListedMember } from './index.ts';

const path = '/thermomesh/test/analytics';
const timeoutMs = 20_000;

const { ensemble } = useZooKeeper();

function seatOf(nodeId: number, faults: unknown[]) {
  return joinElectionGroup({
    nodeId,
    path,
    hosts: ensemble().hosts,
    sessionTimeoutMs: 10_000,
    about: { url: `http://127.0.0.1:${8000 + nodeId}` },
    onReachable: () => undefined,
    onFault: (error) => faults.push(error),
  });
}

async function untilListed(wanted: ListedMember[]): Promise<void> {
  await until(
    `the members ${JSON.stringify(wanted)}`,
    async () =>
      isDeepStrictEqual(await readElectionGroup({ hosts: ensemble().hosts, path, timeoutMs }), wanted),
    { timeoutMs: 60_000 },
  );
}

describe('the group of an election', () => {
  it('the group lists its members with their latest status, and no others', async () => {
    const faults: unknown[] = [];
    assert.deepEqual(await readElectionGroup({ hosts: ensemble().hosts, path, timeoutMs }), []);
    const seats = [2, 1].map((nodeId) => seatOf(nodeId, faults));
    for (const seat of seats) {
      await seat.start();
      seat.publish({ fit: true, leads: null });
    }
    seats[0]?.publish({ fit: true, leads: 7 });
    const url = (nodeId: number) => `http://127.0.0.1:${8000 + nodeId}`;
    const one = { nodeId: 1, url: url(1), fit: true, leads: null };
    const two = { nodeId: 2, url: url(2), fit: true, leads: 7 };
    await untilListed([one, two]);
    await seats[0]?.stop();
    await untilListed([one]);
    await seats[1]?.stop();
    await untilListed([]);
    assert.deepEqual(faults, []);
  });

  it('the group is unknown, and soon so, while ZooKeeper is away', async () => {
    const hosts = '127.0.0.1:1';
    assert.equal(await readElectionGroup({ hosts, path, timeoutMs: 200 }), undefined);
  });
});
