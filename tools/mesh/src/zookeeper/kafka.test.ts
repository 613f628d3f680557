import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { NodeData, Stat } from '@thermomesh/zookeeper';
import { changesBetween, describeKafka, kafkaPaths, partitionsOf } from './kafka.ts';

const node = (content: unknown, stat: Partial<Stat> = {}): NodeData => ({
  data: Buffer.from(typeof content === 'string' ? content : JSON.stringify(content)),
  stat: { czxid: 7n, ephemeralOwner: 42n, ...stat } as Stat,
});
const state = (leader: number, leaderEpoch: number, isr: number[]) =>
  node({ controller_epoch: 1, leader, version: 1, leader_epoch: leaderEpoch, isr });

/** Three brokers and one topic with two partitions, with some changes. */
function picture(changes: Record<string, NodeData | undefined> = {}, brokers = ['1', '2', '3']) {
  const nodes = new Map<string, NodeData>();
  const all: Record<string, NodeData | undefined> = {
    [kafkaPaths.clusterId]: node({ version: '1', id: 'abc' }),
    [kafkaPaths.controller]: node({ version: 2, brokerid: 1 }),
    [kafkaPaths.controllerEpoch]: node('1'),
    [kafkaPaths.topic('t')]: node({ version: 3, partitions: { '1': [2, 3, 1], '0': [1, 2, 3] } }),
    [kafkaPaths.state('t', 0)]: state(1, 0, [1, 2, 3]),
    [kafkaPaths.state('t', 1)]: state(2, 0, [2, 3, 1]),
    ...Object.fromEntries(
      brokers.map((id) => [kafkaPaths.broker(id), node({ host: '127.0.0.1', port: 9000 + Number(id) })]),
    ),
    ...changes,
  };
  for (const [path, value] of Object.entries(all)) if (value !== undefined) nodes.set(path, value);
  return describeKafka(nodes, { brokers, topics: ['t'] });
}

describe("Kafka's nodes as metadata", () => {
  it('brokers, controller, leaders and in-sync replicas are listed in order', () => {
    const { clusterId, controller, controllerEpoch, brokers, topics } = picture();
    assert.deepEqual([clusterId, controller, controllerEpoch], ['abc', 1, 1]);
    assert.deepEqual(brokers[0], { id: 1, address: '127.0.0.1:9001', session: '42', epoch: '7' });
    assert.deepEqual(
      topics[0]?.partitions.map(({ partition, leader, inSync, underReplicated }) => ({
        partition,
        leader,
        inSync,
        underReplicated,
      })),
      [
        { partition: 0, leader: 1, inSync: [1, 2, 3], underReplicated: false },
        { partition: 1, leader: 2, inSync: [1, 2, 3], underReplicated: false },
      ],
    );
  });

  it('a broker that listens with TLS only has its address in its endpoints', () => {
    const tls = node({ host: null, port: -1, endpoints: ['SSL://kafka-1:9093'] });
    assert.equal(picture({ [kafkaPaths.broker('1')]: tls }).brokers[0]?.address, 'kafka-1:9093');
  });

  it('a dead leader that the controller has not removed yet is shown as such', () => {
    const [first] = picture({ [kafkaPaths.broker('1')]: undefined }, ['2', '3']).topics[0]?.partitions ?? [];
    assert.deepEqual(
      [first?.leader, first?.leaderAlive, first?.inSync, first?.underReplicated],
      [1, false, [1, 2, 3], true],
    );
  });

  it('leader -1 means no leader, and missing or invalid nodes become null', () => {
    const { controller, controllerEpoch, topics } = picture({
      [kafkaPaths.controller]: undefined,
      [kafkaPaths.controllerEpoch]: node('x'),
      [kafkaPaths.state('t', 0)]: state(-1, 4, []),
      [kafkaPaths.state('t', 1)]: node('{'),
    });
    assert.deepEqual([controller, controllerEpoch], [null, null]);
    assert.deepEqual(
      topics[0]?.partitions.map(({ leader, leaderEpoch, inSync }) => ({ leader, leaderEpoch, inSync })),
      [
        { leader: null, leaderEpoch: 4, inSync: [] },
        { leader: null, leaderEpoch: null, inSync: [] },
      ],
    );
    assert.deepEqual(partitionsOf(undefined), []);
    assert.deepEqual(partitionsOf(node('"x"')), []);
  });

  it('changes name a death, the new controller, the new leader and lost replicas', () => {
    assert.deepEqual(changesBetween(picture(), picture()), []);
    const after = picture(
      {
        [kafkaPaths.broker('1')]: undefined,
        [kafkaPaths.controller]: node({ version: 2, brokerid: 3 }),
        [kafkaPaths.controllerEpoch]: node('2'),
        [kafkaPaths.state('t', 0)]: state(2, 1, [2, 3]),
      },
      ['2', '3'],
    );
    assert.deepEqual(changesBetween(picture(), after), [
      'broker 1 is gone',
      'controller 1 → 3',
      'controller epoch 1 → 2',
      't/0 leader 1 → 2',
      't/0 leader epoch 0 → 1',
      't/0 in sync 1,2,3 → 2,3',
    ]);
  });

  it('a broker that was away between two looks has registered again', () => {
    const again = node({ host: '127.0.0.1', port: 9002 }, { czxid: 99n });
    assert.deepEqual(changesBetween(picture(), picture({ [kafkaPaths.broker('2')]: again })), [
      'broker 2 has registered again',
    ]);
  });
});
