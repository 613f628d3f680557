import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { ZooKeeper } from '../../client/zookeeper.ts';
import type { NodeLease } from '../leases/lease.ts';
import { Election, type Candidate } from './leader-election.ts';

/** An election whose campaigns the test wins. */
class TestElection extends Election {
  readonly won = Promise.withResolvers<NodeLease>();

  override async candidates(): Promise<Candidate[]> {
    return [];
  }

  protected override async campaign(): Promise<NodeLease> {
    return this.won.promise;
  }
}

it('a candidate that wins while it is closed releases its lease and is never elected', async () => {
  let [released, elected] = [0, 0];
  const election = new TestElection({} as ZooKeeper, {
    path: '/election',
    id: 'a',
    listener: { elected: () => (elected += 1) },
  });
  election.start();
  election.won.resolve({ release: async () => void (released += 1) } as unknown as NodeLease);
  await election.close();
  assert.deepEqual([released, elected], [1, 0]);
});
