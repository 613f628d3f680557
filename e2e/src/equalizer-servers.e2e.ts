import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { until } from '@thermomesh/mesh/testing';
import { assertIdentical, equalized, openRig, sample, submit, type Rig } from './equalizer-support.ts';
import { crashAt, untilHit, waitMs } from './support.ts';

describe('the equalizer with three brokers and three ZooKeeper servers', () => {
  let rig: Rig;
  before(async () => {
    rig = await openRig(3);
    await rig.untilCoordinates(await rig.start(1));
    await rig.start(2);
  });
  after(async () => rig.remove());

  it('a job and the next one finish with an equal image though a broker is killed', async () => {
    const witness = rig.file('broker');
    const holder = await rig.start(3, crashAt('equalizer.mid-chunk', witness, 1, 'stop'));
    await rig.untilLeads(holder);
    const client = rig.client();
    const colour = sample(rig, 'rgb');
    const { over } = await submit(client, colour);
    // The job stays in the middle of its first phase, because one node holds a chunk.
    await untilHit(witness, 'equalizer.mid-chunk');
    const [broker] = rig.servers.members;
    await broker!.kill();
    holder.child.kill('SIGCONT');
    const { last } = await over;
    await assertIdentical(rig, client, last, colour);
    await equalized(rig, client, sample(rig, 'grey-alpha'));
    await broker!.restart();
    await rig.servers.untilComplete(3);
    await rig.stop(holder);
  });

  it('a job outlives ZooKeeper’s leader, waits for a majority and then finishes', async () => {
    const witness = rig.file('zookeeper');
    const holder = await rig.start(4, crashAt('equalizer.mid-chunk', witness, 1, 'stop'));
    await rig.untilLeads(holder);
    const client = rig.client();
    const photograph = sample(rig, 'photograph');
    const { over } = await submit(client, photograph);
    await untilHit(witness, 'equalizer.mid-chunk');
    const { zookeeper } = rig.servers;
    const leader = await zookeeper.leader();
    assert.ok(leader);
    await leader.kill();
    holder.child.kill('SIGCONT');
    const { last } = await over;
    await assertIdentical(rig, client, last, photograph);
    // Without a majority no job is accepted, and no accepted job is lost.
    const open = await submit(client, sample(rig, 'rgb-16'));
    const other = zookeeper.members.find((member) => member !== leader);
    await other!.kill();
    const [node] = rig.nodes();
    await until({ what: 'a node to lose ZooKeeper', timeoutMs: waitMs }, async () =>
      node!.log().includes('"event":"zookeeper.phase","phase":"suspended"'),
    );
    await leader.restart();
    await assertIdentical(rig, client, (await open.over).last, sample(rig, 'rgb-16'));
    await other!.restart();
  });
});
