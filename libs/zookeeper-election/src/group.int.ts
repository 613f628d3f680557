import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { testZooKeeper, type TestEnsemble } from '@thermomesh/servers';
import { joinElectionGroup, readElectionGroup, type ListedMember } from './index.ts';

const path = '/thermomesh/test/analytics';
const timeoutMs = 20_000;

let server: TestEnsemble;
before(async () => {
  server = await testZooKeeper();
});
after(async () => server.remove());

function seatOf(nodeId: number, faults: unknown[]) {
  return joinElectionGroup({
    ...{ nodeId, path, hosts: server.hosts, sessionTimeoutMs: 10_000 },
    about: { url: `http://127.0.0.1:${8000 + nodeId}` },
    onReachable: () => undefined,
    onFault: (error) => faults.push(error),
  });
}

async function until(holds: (members: ListedMember[] | undefined) => boolean): Promise<void> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const members = await readElectionGroup({ hosts: server.hosts, path, timeoutMs });
    if (holds(members)) return;
    assert.ok(Date.now() < deadline, JSON.stringify(members));
  }
}

describe('the group of an election', () => {
  it('lists who has joined with what it said last, and nobody who has left or was never a member', async () => {
    const faults: unknown[] = [];
    assert.deepEqual(await readElectionGroup({ hosts: server.hosts, path, timeoutMs }), []);
    const seats = [2, 1].map((nodeId) => seatOf(nodeId, faults));
    for (const seat of seats) {
      await seat.start();
      seat.say({ fit: true, leads: null });
    }
    seats[0]?.say({ fit: true, leads: 7 });
    const url = (nodeId: number) => `http://127.0.0.1:${8000 + nodeId}`;
    const one = { nodeId: 1, url: url(1), fit: true, leads: null };
    const two = { nodeId: 2, url: url(2), fit: true, leads: 7 };
    const isSame = (wanted: ListedMember[]) => (members: ListedMember[] | undefined) => {
      try {
        assert.deepEqual(members, wanted);
        return true;
      } catch {
        return false;
      }
    };
    await until(isSame([one, two]));
    await seats[0]?.stop();
    await until(isSame([one]));
    await seats[1]?.stop();
    await until(isSame([]));
    assert.deepEqual(faults, []);
  });

  it('is unknown, and soon so, while ZooKeeper is away', async () => {
    const hosts = '127.0.0.1:1';
    assert.equal(await readElectionGroup({ hosts, path, timeoutMs: 200 }), undefined);
  });
});
