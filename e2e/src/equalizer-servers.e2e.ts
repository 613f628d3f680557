import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { until } from '@thermomesh/mesh';
import { assertIdentical, equalized, openRig, sample, submit, type Rig } from './equalizer-support.ts';
import { crashAt, untilHit, waitMs } from './support.ts';

describe('the servers below the equalizer, three of each', () => {
  let rig: Rig;
  before(async () => {
    rig = await openRig(3);
    await rig.untilCoordinates(await rig.start(1));
    await rig.start(2);
  });
  after(async () => rig.remove());

  it('a broker is killed in the middle of a job: the job waits and finishes, identical, and so does the next one without it', async () => {
    const witness = rig.file('broker');
    const holder = await rig.start(3, crashAt('equalizer.mid-chunk', witness, 1, 'stop'));
    await rig.untilLeads(holder);
    const client = rig.client();
    const colour = sample(rig, 'rgb');
    const { over } = await submit(client, colour);
    // The job is in the middle of its first phase, and stays there: one chunk is held.
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

  it('the server of ZooKeeper that leads is killed in the middle of a job, and one more: it waits for a majority and finishes', async () => {
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
    // Without a majority nothing is accepted, and nothing that was accepted is lost.
    const open = await submit(client, sample(rig, 'rgb-16'));
    const other = zookeeper.members.find((member) => member !== leader);
    await other!.kill();
    const [node] = rig.nodes();
    await until({ what: 'a node to be without ZooKeeper', timeoutMs: waitMs }, async () =>
      node!.log().includes('"event":"zookeeper.phase","phase":"suspended"'),
    );
    await leader.restart();
    await assertIdentical(rig, client, (await open.over).last, sample(rig, 'rgb-16'));
    await other!.restart();
  });
});
