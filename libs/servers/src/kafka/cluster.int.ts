import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { until } from '@thermomesh/testing';
import { testKafka, type TestKafka } from '../testing/java-servers.ts';

import { createTopic, latestOffset, produce } from './raw-client.ts';
import { findRunningKafka, startKafka } from './server.ts';

/** Ends the session of a killed broker sooner than in the mesh. */
const settings = { 'zookeeper.session.timeout.ms': '2000' };

describe('one Kafka broker', () => {
  let own: TestKafka;
  before(async () => {
    own = await testKafka({ settings });
  });
  after(async () => own?.remove());

  it('acknowledged records survive kill -9 of broker and ZooKeeper and a restart', async () => {
    const [only] = own.members;
    assert.ok(only);
    const { port, pid } = only.server;
    assert.equal(await createTopic(port, 'kept', 1), true);
    for (const value of ['a', 'b', 'c']) {
      await until('the partition has a leader', async () => (await latestOffset(port, 'kept')) >= 0);
      assert.equal(await produce(port, 'kept', value), 0);
    }
    const [zookeeper] = own.zookeeper.members;
    await Promise.all([only.kill(), zookeeper?.kill()]);
    assert.equal((await only.server.exited).signal, 'SIGKILL');
    await zookeeper?.restart();
    // The old session still exists: without another attempt the start would fail.
    await only.restart();
    assert.equal(only.server.port, port);
    assert.notEqual(only.server.pid, pid);
    await until('all three records are there', async () => (await latestOffset(port, 'kept')) === 3);
  });

  it('a second Kafka broker on the same data is refused', async () => {
    const [only] = own.members;
    assert.ok(only);
    const { dataDir, pid } = only.server;
    assert.equal((await findRunningKafka(dataDir))?.pid, pid);
    await assert.rejects(startKafka({ dataDir, zookeeperHosts: own.zookeeper.hosts }), {
      code: 'kafka.already_running',
    });
  });
});

describe('three Kafka brokers', () => {
  let own: TestKafka;
  before(async () => {
    own = await testKafka({ brokers: 3, settings });
  });
  after(async () => own?.remove());

  const leaderOf = async (topic: string, among: number[]): Promise<number> => {
    let leader = 0;
    await until('the partition has a leader', async () => {
      const offsets = await Promise.all(among.map(async (port) => latestOffset(port, topic)));
      leader = among[offsets.findIndex((offset) => offset >= 0)] ?? 0;
      return leader !== 0;
    });
    return leader;
  };

  it('acknowledged records outlive the leader, and two of three brokers suffice', async () => {
    const ports = own.members.map(({ server }) => server.port);
    const { controllerId } = (await own.members[0]?.server.state()) ?? assert.fail();
    const controller = own.members.find(({ id }) => id === controllerId) ?? assert.fail();
    assert.equal(await createTopic(controller.server.port, 'three', 3), true);
    const first = await leaderOf('three', ports);
    await until('a record is acknowledged', async () => (await produce(first, 'three', 'a')) === 0);
    await own.members.find(({ server }) => server.port === first)?.kill();
    const rest = ports.filter((port) => port !== first);
    const second = await leaderOf('three', rest);
    assert.equal(await latestOffset(second, 'three'), 1);
    await until('two copies are enough', async () => (await produce(second, 'three', 'b')) === 0);
    assert.equal(await latestOffset(second, 'three'), 2);
  });
});
