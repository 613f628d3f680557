import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { passing } from '@thermomesh/links';
import { until } from '@thermomesh/testing';
import type { ZooKeeper } from '../../client/zookeeper.ts';
import { endingSessionMs } from '../../testing/clients.ts';
import { useZooKeeper } from '../../testing/use-zookeeper.ts';
import { PartitionLeadership } from './partition-leadership.ts';
import { ticketsIn } from '../leases/tickets.ts';

const { clients, freshPath } = useZooKeeper();

describe('partition leadership', () => {
  const partitions = 8;

  /** Records a violation when a partition has two leaders or an epoch returns. */
  class PartitionOracle {
    readonly #leaders = new Map<number, { held: boolean; epoch: bigint }>();
    readonly violations: unknown[] = [];
    gains = 0;
    listener = {
      gained: (partition: number, lease: { held: boolean; epoch: bigint }) => {
        const other = this.#leaders.get(partition);
        if (other?.held === true) this.violations.push(`two leaders of ${partition}`);
        if (other !== undefined && lease.epoch <= other.epoch)
          this.violations.push(`epoch of ${partition} fell`);
        this.#leaders.set(partition, lease);
        this.gains += 1;
      },
      failed: (error: unknown) => this.violations.push(error),
    };
  }

  const balanced = (all: PartitionLeadership[]) => {
    const each = all.map(({ leading }) => leading.length);
    const total = each.reduce((sum, count) => sum + count, 0);
    return total === partitions && Math.max(...each) - Math.min(...each) <= 1;
  };

  it('joins, leaves and deaths keep balance with few moves and never double a leader', async () => {
    const path = freshPath();
    const oracle = new PartitionOracle();
    const make = (zk: ZooKeeper, id: string) =>
      new PartitionLeadership(zk, { path, id, partitions, listener: oracle.listener }).start();
    const a = make(await clients.connect(), 'a');
    await until('one to lead all', () => balanced([a]));
    const { zk, link } = await clients.connectThroughLink({ sessionTimeoutMs: endingSessionMs });
    const b = make(zk, 'b');
    await until('two to share', () => balanced([a, b]));
    assert.equal(oracle.gains, partitions + 4);
    const c = make(await clients.connect(), 'c');
    await until('three to share', () => balanced([a, b, c]));
    assert.equal(oracle.gains, partitions + 4 + 2);
    await link.set({ ...passing, state: 'stall' });
    await until('two to inherit', () => balanced([a, c]));
    assert.deepEqual(b.leading, []);
    await link.set(passing);
    await until('the return', () => balanced([a, b, c]));
    await a.close();
    await until('the last two', () => balanced([b, c]));
    assert.deepEqual(oracle.violations, []);
    await Promise.all([b.close(), c.close()]);
  });

  it('a deposed assigner writes no assignment, however late its write arrives', async () => {
    const path = freshPath();
    const zk = await clients.connect();
    const other = await clients.connect();
    const a = new PartitionLeadership(zk, { path, id: 'a', partitions }).start();
    await until('one to lead all', () => balanced([a]));
    // The write for the newcomer is under way when the assigner's seat is deleted.
    const multi = zk.multi.bind(zk);
    const outcomes: string[] = [];
    zk.multi = async (operations) => {
      if (outcomes.length === 0) {
        const [seat] = ticketsIn((await other.getChildren(`${path}/assigner`)).names);
        await other.delete(`${path}/assigner/${seat?.name}`);
      }
      const outcome = multi(operations);
      outcomes.push(
        await outcome.then(
          () => 'written',
          (error: { code?: string }) => String(error.code),
        ),
      );
      return outcome;
    };
    const b = new PartitionLeadership(other, { path, id: 'b', partitions }).start();
    await until('two to share', () => balanced([a, b]));
    assert.equal(outcomes[0], 'zookeeper.no_node');
    await Promise.all([a.close(), b.close()]);
  });

  it('a partition is handed over only when its work is finished', async () => {
    const path = freshPath();
    const news: string[] = [];
    const finish = Promise.withResolvers<undefined>();
    const a = new PartitionLeadership(await clients.connect(), {
      path,
      id: 'a',
      partitions: 2,
      handOverTimeoutMs: 20_000,
      listener: {
        handingOver: async (partition, { held }) => {
          news.push(`finishing ${held}`);
          await finish.promise;
          news.push(`finished ${partition}`);
        },
        lost: (partition, _lease, end) => news.push(`lost ${partition} ${end}`),
      },
    }).start();
    await until('both', () => a.leading.length === 2);
    const b = new PartitionLeadership(await clients.connect(), {
      path,
      id: 'b',
      partitions: 2,
      listener: { gained: (partition) => news.push(`gained ${partition}`) },
    }).start();
    await until('the request', () => news.length > 0);
    assert.deepEqual([news, b.leading], [['finishing true'], []]);
    finish.resolve(undefined);
    await until('the successor', () => b.leading.length === 1);
    const [partition] = b.leading;
    const [finishing, ...rest] = news;
    assert.equal(finishing, 'finishing true');
    assert.deepEqual(
      rest.toSorted(),
      [`finished ${partition}`, `gained ${partition}`, `lost ${partition} released`].toSorted(),
    );
    assert.equal(rest[0], `finished ${partition}`);
    await Promise.all([a.close(), b.close()]);
  });
});
